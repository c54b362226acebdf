"""Runs the program as the tests need it: as an ordinary user, in a lab, with a script from a string."""

import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import wire

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("TUNFILTER", ROOT / "build/tunfilter")).resolve()
SANITIZED = bool(os.environ.get("TF_SANITIZE"))
NOBODY = "65534"
DEADLINE = 120  # seconds after which a program that should have ended is killed, and the test fails

PASS = 'local tf = require "tunfilter"\ntf.on_packet(function() end)\n'

# A mount namespace whose /dev/net/tun anybody may open, as udev has it and a bare machine has not.
OPEN_NODE = """
mount -t tmpfs -o mode=755 none /dev/net && mknod -m 666 /dev/net/tun c 10 200 || exit 125
exec setpriv --reuid %s --regid %s --clear-groups --inh-caps=-all -- "$@"
""" % (NOBODY, NOBODY)


# A user namespace and a network namespace in it, in which an ordinary user may open devices.
IN_NAMESPACE = ["unshare", "--user", "--map-root-user", "--net"]


def ordinary_user(argv):
    """argv as an ordinary user runs it, whoever runs the tests."""
    argv = [str(word) for word in argv]
    if os.geteuid() != 0:
        return argv
    return ["unshare", "--mount", "sh", "-c", OPEN_NODE, "sh", *argv]


class Place:
    """A folder that every user may write to, with copies of the program and of wire.py in it.

    (The clone itself may lie where only root can look.) What a sanitizer has to say lands here too.
    """

    def __init__(self):
        self.path = Path(tempfile.mkdtemp(prefix="tunfilter-test-"))
        self.path.chmod(0o777)
        self.program = self.path / "tunfilter"
        shutil.copy(PROGRAM, self.program)
        self.program.chmod(0o755)
        self.wire = self.path / "wire.py"
        shutil.copy(Path(__file__).with_name("wire.py"), self.wire)
        self.count = 0

    def file(self, name, content):
        """Writes a file that every user may read; its path."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = content.encode()
        path.write_bytes(content)
        path.chmod(0o644)
        return path

    def script(self, text, name=None):
        """Writes rules to a file of their own; its path."""
        self.count += 1
        return self.file(name or "rules%d.lua" % self.count, text)

    def environment(self):
        env = dict(os.environ, PATH="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", HOME=str(self.path), NO_COLOR="1", LC_ALL="C.UTF-8")
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS"):
            options = [env[name]] if env.get(name) else []
            env[name] = ":".join([*options, "log_path=%s/sanitizer" % self.path])
        return env

    def sanitizer_reports(self):
        """What sanitizers wrote since the last call."""
        text = ""
        for name in glob.glob("%s/sanitizer.*" % self.path):
            text += Path(name).read_text(errors="replace")
            os.unlink(name)
        return text

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


def run(place, *argv, user=True, prefix=(), forbids=None):
    """Runs the program (behind a prefix of other commands) to its end: a CompletedProcess with texts.

    forbids: what the machine does, of forbid.py.
    """
    argv = [*prefix, str(place.program), *map(str, argv)]
    process = subprocess.Popen(ordinary_user(argv) if user else argv, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=place.environment(),
                               cwd=place.path, start_new_session=True, text=True, errors="replace", preexec_fn=forbids)
    try:
        out, err = process.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError("still running after %s s: %s\n%s%s" % (DEADLINE, argv, out, err)) from None
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


ROWS = ("in", "forwarded", "dropped", "replied", "held", "errors", "sent", "malformed", "invalid", "lost",
        "kernel-dropped")


def tables(text):
    """The tables of counters in a text: each a dict of row -> [from left, from right] packets, and
    row + " bytes" alike. A row that is not shown is 0; its title's words are at "title"."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["direction"]:
            found.append({name + unit: [0, 0] for name in ROWS for unit in ("", " bytes")})
            found[-1]["title"] = words[1:]
        elif found and len(words) == 5 and words[0] in ROWS:
            name, *numbers = words
            numbers = [0 if number == "-" else int(number) for number in numbers]
            found[-1][name] = numbers[0::2]
            found[-1][name + " bytes"] = numbers[1::2]
        elif found and words[:1] == ["callback-errors"]:
            found[-1]["callback-errors"] = int(words[1])
    return found


def check_sums(table):
    """What must hold of every table."""
    for unit in ("", " bytes"):
        for side in (0, 1):
            parts = sum(table[name + unit][side] for name in ("forwarded", "dropped", "replied", "held", "errors"))
            assert table["in" + unit][side] == parts, table


class Program:
    """Something that runs beside the test; what it writes on standard error grows in .stderr."""

    def __init__(self, place, *argv, user=True):
        self.start(place, argv, user, subprocess.DEVNULL)

    def start(self, place, argv, user, stdin):
        place.count += 1
        self.log = place.path / ("stderr%d" % place.count)
        argv = [str(word) for word in argv]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(ordinary_user(argv) if user else argv, stdin=stdin,
                                            stdout=log, stderr=log, env=place.environment(),
                                            cwd=place.path, start_new_session=True)
        self.pid = self.process.pid

    @property
    def stderr(self):
        return self.log.read_text(errors="replace")

    def wait_for(self, pattern, timeout=20):
        """Waits until standard error matches; the match."""
        return wait_until(lambda: re.search(pattern, self.stderr, re.M), timeout,
                          lambda: "no %r in:\n%s" % (pattern, self.stderr))

    def table(self):
        """The last table of counters that it printed."""
        found = tables(self.stderr)
        assert found, "no table in:\n" + self.stderr
        check_sums(found[-1])
        return found[-1]

    def signal(self, number):
        os.kill(self.pid, number)

    def end(self):
        """Waits for its end; kills it and all that it started, and fails, if it does not come."""
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.end()


def wait_until(condition, timeout=20, why=lambda: "it did not become true"):
    """Calls condition until what it returns is true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, why()
        time.sleep(0.02)


class Wired(Program):
    """A program whose two devices the test holds: .left and .right are wire.Ports.

    It ends with the with block; afterwards .status, .stderr and .table() tell how it went.
    """

    def __init__(self, place, *argv, user):
        self.status = None
        ours, theirs = socket.socketpair()
        with theirs:
            self.start(place, argv, user, theirs)
        try:
            self.wire = wire.Wire(ours)
        except Exception as error:
            super().__exit__()
            raise AssertionError("it did not start: %s\n%s" % (error, self.stderr)) from error
        self.left, self.right = self.wire.left, self.wire.right
        for side in ("left", "right"):  # so that no host's kernel answers to what the test injects
            for words in ("address flush scope global", "route flush table main", "-6 route flush table main"):
                self.run(side, "ip", *words.split())

    def run(self, side, *argv):
        """Runs a command on a host; (status, output)."""
        return self.wire.run(side, *map(str, argv))

    def __exit__(self, *_):
        self.wire.close()
        self.status = self.end()


class Lab(Wired):
    """A lab."""

    def __init__(self, place, rules, *options, kind="tun", mtu=1500, user=True):
        script = rules if isinstance(rules, Path) else place.script(rules)
        device = "%s,mtu=%d" % (kind, mtu)
        super().__init__(place, place.program, "lab", script, "--left", device, "--right", device, *options,
                         "--", sys.executable, place.wire, user=user)


class Run(Wired):
    """`tunfilter run` between two hosts that the test made, with devices tfleft and tfright."""

    def __init__(self, place, rules, *options, kind="tun", user=True):
        script = rules if isinstance(rules, Path) else place.script(rules)
        devices = []
        for side, host in (("left", 1), ("right", 2)):
            devices += ["--" + side, "%s:tf%s,netns={%s},address=10.77.0.%d/24" % (kind, side, side, host)]
        super().__init__(place, *IN_NAMESPACE, sys.executable, place.wire,
                         place.program, "run", script, *devices, *options, user=user)
        self.pid = self.wire.pid


def run_lab(place, rules, *command, options=(), user=True, forbids=None):
    """A lab with a command on the left host; its CompletedProcess."""
    script = rules if isinstance(rules, Path) else place.script(rules)
    return run(place, "lab", script, *options, "--", *command, user=user, forbids=forbids)
