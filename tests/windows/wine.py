"""tunfilter.exe under wine, with the stand-in for wintun.dll beside it.

What it stands on is what scripts/build-windows leaves: TF_WINDOWS is the folder of its CMake build. Wine has a
folder of its own there, made once and never shared with a person's; it has no display and needs no network.
"""

import atexit
import contextlib
import fcntl
import functools
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402

BUILD = Path(os.environ.get("TF_WINDOWS", harness.ROOT / "build/cross/windows/program"))
FOLDERS = os.environ.get("PATH", "") + ":/usr/lib/wine"
WINE = shutil.which("wine64", path=FOLDERS) or shutil.which("wine", path=FOLDERS) or "wine64"
SERVER = shutil.which("wineserver64", path=FOLDERS) or shutil.which("wineserver", path=FOLDERS)
PREFIX = BUILD / "wine"

OVERRIDES = "mscoree,mshtml="  # what wine would offer to fetch

# A command to the stand-in is a datagram that begins so; no packet does.
COMMAND = b"\xff"


def environment(extra=()):
    env = dict(os.environ, WINEPREFIX=str(PREFIX), WINEDEBUG="-all", WINEDLLOVERRIDES=OVERRIDES, NO_COLOR="1", TZ="UTC")
    env.pop("DISPLAY", None)
    env.update(extra)
    return env


@functools.cache
def prepare():
    """Makes wine's folder, once; and keeps wine awake until this process ends, since it is slow to begin."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / ".wine.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (PREFIX / "ready").exists():
            shutil.rmtree(PREFIX, ignore_errors=True)
            subprocess.run([WINE, "wineboot", "-i"], env=environment(), check=True, timeout=300,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            (PREFIX / "ready").touch()
    shell = subprocess.Popen([WINE, "cmd"], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
    assert shell.stdout.readline(), "wine does not start"
    atexit.register(let_sleep, shell)


def let_sleep(shell):
    """Ends wine, and waits until it has ended: what begins meanwhile is ended with it, with status 0 and no output."""
    shell.stdin.close()
    try:
        shell.wait(20)
    except subprocess.TimeoutExpired:
        shell.kill()
        shell.wait()
    if SERVER:
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run([SERVER, "-w"], env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, check=False, timeout=30)


class Folder(harness.Place):
    """A folder with tunfilter.exe in it, and with the stand-in unless told otherwise."""

    def __init__(self, standin=True):
        super().__init__()
        prepare()
        self.program.unlink()
        self.program = self.path / "tunfilter.exe"
        shutil.copy(BUILD / "tunfilter.exe", self.program)
        if standin:
            shutil.copy(BUILD / "tests/windows/standin/wintun.dll", self.path)
        self.extra = {}

    def environment(self):
        return environment(self.extra)


def run(folder, *argv, extra=(), program=None):
    """Runs the program to its end; a CompletedProcess with bytes."""
    argv = [WINE, str(program or folder.program), *map(str, argv)]
    # Files, no pipes: what wine starts beside a program keeps these open for longer than the program.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        done = subprocess.run(argv, env=environment(extra), cwd=folder.path, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                              timeout=harness.DEADLINE, check=False)
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(argv, done.returncode, out.read(), err.read())


class Port:
    """The network's side of an adapter: send() gives packets to the filter, receive() takes what it wrote."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for option in (33, 32):  # SO_RCVBUFFORCE, SO_SNDBUFFORCE
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, option, 64 << 20)
            except PermissionError:
                pass
        self.socket.bind(("127.0.0.1", 0))
        self.number = self.socket.getsockname()[1]

    def join(self, timeout):
        """Waits for the stand-in's hello; whether it came."""
        if not select.select([self.socket], [], [], timeout)[0]:
            return False
        data, where = self.socket.recvfrom(100)
        assert data == COMMAND + b"hello", data
        self.socket.connect(where)
        return True

    def send(self, packet):
        self.socket.send(bytes(packet))

    def receive_one(self, timeout):
        if not select.select([self.socket], [], [], timeout)[0]:
            return None
        return self.socket.recv(70000)

    def receive(self, count, timeout=5.0):
        """Up to count packets, in order; fewer if no further one comes within timeout seconds."""
        packets = []
        while len(packets) < count:
            packet = self.receive_one(timeout)
            if packet is None:
                break
            packets.append(packet)
        return packets

    def command(self, words):
        """A command of the stand-in's; standin.h has them."""
        self.socket.send(COMMAND + words.encode())

    def stat(self):
        """The stand-in's counters. Nothing else may be on its way here."""
        self.command("stat")
        data = self.receive_one(20)
        assert data and data[:1] == COMMAND, data
        return {name: int(value) for name, value in (word.split("=") for word in data[1:].decode().split())}

    def close(self):
        self.socket.close()


class Run(harness.Program):
    """`tunfilter run` between two adapters of the stand-in, whose networks the test holds: .left and .right.

    It ends with the with block, by Ctrl-C; afterwards .status, .stderr and .table() tell how it went.
    """

    def __init__(self, folder, rules, *options, mtu=1500, fail="", exists="", ready=True, prefix=()):
        script = rules if isinstance(rules, Path) else folder.script(rules)
        self.status = None
        self.left, self.right = Port(), Port()
        folder.extra = {"STANDIN_ADAPTERS": "left=%d,right=%d" % (self.left.number, self.right.number),
                        "STANDIN_FAIL": fail, "STANDIN_EXISTS": exists}
        devices = []
        for side in ("left", "right"):
            devices += ["--" + side, "tun:%s,mtu=%d" % (side, mtu)]
        self.start(folder, [WINE, *prefix, folder.program, "run", script, *devices, *options], False, subprocess.DEVNULL)
        if ready:
            self.join()

    def join(self):
        deadline = time.monotonic() + 60
        for port in (self.left, self.right):
            while not port.join(0.2):
                assert self.process.poll() is None and time.monotonic() < deadline, "it did not start:\n" + self.stderr
        self.wait_for(r"^tunfilter: (callback|.*no callback)")

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.status = self.end()
        self.left.close()
        self.right.close()
