"""Two hosts to put a forwarder between: network namespaces held by processes of the benchmark.

Whatever is started here dies with the benchmark, also when that is killed, and a namespace goes
with its last process. Nothing of it has a name that could be left behind.
"""
import contextlib
import ctypes
import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import time

LEFT, RIGHT = "10.77.0.1", "10.77.0.2"
MANY = "10.78.0.0"  # where many addresses are, for many flows
MACS = {"left": "02:00:00:00:00:01", "right": "02:00:00:00:00:02",
        "router left": "02:00:00:00:00:11", "router right": "02:00:00:00:00:12"}
SINK, ECHO, TCP = 9000, 7, 5201  # ports
FLOWS = 64                       # UDP ports that the sink has open
QUEUE = 4096                     # packets that a device queues, for every candidate
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, CLONE_NEWNET = 1, 0x40000000


class Failed(Exception):
    """A step that did not end as it should, in words for the report."""


# What a step may end with that is no reason for the benchmark to end.
TROUBLE = (Failed, OSError, subprocess.SubprocessError, LookupError, ValueError, ArithmeticError)


class Process:
    """A process that is ended at the latest when the benchmark is; what it says on standard error
    is kept, for when it fails."""

    def __init__(self, argv, pin=None):
        self.argv = [str(word) for word in argv]
        self.errors = tempfile.TemporaryFile()
        self.popen = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors,
                                      start_new_session=True, preexec_fn=lambda: self._prepare(pin))

    @staticmethod
    def _prepare(pin):
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if pin is not None:
            os.sched_setaffinity(0, {pin})

    @property
    def pid(self):
        return self.popen.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def ready(self, seconds=20):
        """Waits for the line "ready"."""
        if not select.select([self.popen.stdout], [], [], seconds)[0]:
            raise Failed(f"{self.name()} was not ready after {seconds} s")
        if self.popen.stdout.readline().strip() != b"ready":
            raise Failed(f"{self.name()} ended before it was ready: {self.complaint()}")
        return self

    def output(self, seconds):
        """What it printed, when it has ended by itself, as words."""
        try:
            out, _ = self.popen.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.end()
            raise Failed(f"{self.name()} still ran after {seconds:.0f} s") from None
        if self.popen.returncode != 0:
            raise Failed(f"{self.name()}: {self.complaint()}")
        return out.decode().split()

    def name(self):
        return " ".join(os.path.basename(word) for word in self.argv if word[:1] != "-")[:60]

    def complaint(self):
        """The end of what it said on standard error."""
        self.errors.seek(0)
        return " ".join(self.errors.read().decode(errors="replace").split())[-300:] or f"status {self.popen.poll()}"

    def end(self):
        for number, seconds in (signal.SIGTERM, 3), (signal.SIGKILL, 10):
            if self.popen.poll() is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                self.popen.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(seconds)
        self.popen.stdout.close()
        self.errors.close()


def run(argv, seconds=20, **options):
    """Runs a command to its end: its words."""
    with Process(argv, **options) as process:
        return process.output(seconds)


def descendants(pid):
    """The processes below one, as far as they are there: each may end meanwhile."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                for child in map(int, file.read().split()):
                    found += [child, *descendants(child)]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


HOST = """
ip link set lo up
echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
echo ready
exec sleep 86400
"""


class Host(Process):
    """A network namespace."""

    def __init__(self):
        super().__init__(["unshare", "--net", "sh", "-c", HOST])
        self.ready()

    def inside(self, *argv):
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *argv]

    def ip(self, words):
        run(self.inside("ip", *words.split()))

    def socket(self):
        """A UDP socket of this host, in the hands of the benchmark."""
        before = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        try:
            if LIBC.setns(there, CLONE_NEWNET) != 0:
                raise Failed("setns: " + os.strerror(ctypes.get_errno()))
            try:
                return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            finally:
                LIBC.setns(before, CLONE_NEWNET)
        finally:
            os.close(there)
            os.close(before)

    def datagrams(self):
        """UDP datagrams that have reached this host so far, read by somebody or not."""
        with open(f"/proc/{self.pid}/net/snmp", encoding="ascii") as file:
            names, numbers = [line.split() for line in file if line.startswith("Udp:")]
        counts = dict(zip(names[1:], map(int, numbers[1:])))
        return counts["InDatagrams"] + counts["InErrors"] + counts["NoPorts"]


class Link:
    """A candidate between two hosts of its own, with who answers on the right one.

    wait=False: it is not there until start() is called.
    """

    def __init__(self, candidate, build, mtu=1500, wait=True):
        self.candidate, self.build, self.mtu = candidate, build, mtu
        self.stack = contextlib.ExitStack()
        self.process, self.at_once = None, wait
        self.used = 0  # when traffic was started last

    def __enter__(self):
        try:
            self.left, self.right = self.host(), self.host()
            for words in ["sink", SINK, FLOWS], ["echo", ECHO]:
                self.add(self.traffic(self.right, *words)).ready()
            if self.at_once:
                self.start()
                self.wait()
        except BaseException:
            self.stack.close()
            raise
        return self

    def start(self):
        self.process = self.candidate.start(self)

    def __exit__(self, *_):
        self.stack.close()

    def host(self):
        return self.add(Host())

    def add(self, process):
        return self.stack.enter_context(process)

    def traffic(self, host, *words, pin=None):
        """bench_traffic on a host."""
        self.used = time.monotonic()
        return Process(host.inside(f"{self.build}/tests/bench/bench_traffic", *words), pin=pin)

    def wait(self, seconds=20):
        """Until a datagram has gone there and back."""
        end = time.monotonic() + seconds
        while True:
            with self.traffic(self.left, "ping", RIGHT, ECHO, 64, 0.001) as ping, contextlib.suppress(Failed):
                if int(ping.output(5)[0]) > 0:
                    return
            self.alive()
            if time.monotonic() > end:
                raise Failed(f"forwarded nothing in {seconds} s")
            time.sleep(0.05)

    def alive(self):
        if self.process and self.process.popen.poll() is not None:
            raise Failed(f"ended: {self.process.complaint()}")

    def pids(self):
        """The forwarder's process and those below it."""
        return [self.process.pid, *descendants(self.process.pid)] if self.process else []

    def processor_time(self):
        """Seconds of processor time that the forwarder has taken, in all its threads; None where
        there is no process that forwards."""
        total = 0
        for pid in self.pids():
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0])
        return total / 1e9 if self.process else None

    def memory(self):
        """The most memory that the forwarder has had resident, MB; None where there is none."""
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                total += int(re.search(r"VmHWM:\s+(\d+)", file.read())[1])
        return total / 1024 if self.process else None
