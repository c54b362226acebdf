"""What the tests of lab and enter share: who lives in a lab, and a terminal to run one in."""

import os
import pty
import re
import select
import signal
import time
from pathlib import Path

import harness

USER = harness.NOBODY if os.geteuid() == 0 else str(os.getuid())  # who runs the program
STARTED = "the left command runs"


def start(place, command, *options, rules=harness.PASS, **how):
    """A lab whose left command is a shell's; returns when that runs. A Program with .lab, process 1's pid."""
    script = rules if isinstance(rules, Path) else place.script(rules)
    program = harness.Program(place, place.program, "lab", script, *options, "--", "sh", "-c",
                              "echo '%s' >&2; %s" % (STARTED, command), **how)
    try:
        program.lab = int(program.wait_for(r"lab (\d+):")[1])
        program.wait_for(STARTED)
    except BaseException:
        program.__exit__()
        raise
    return program


def pid_namespace(pid):
    try:
        return os.readlink("/proc/%s/ns/pid" % pid)
    except OSError:
        return None


def inhabitants(namespace):
    """The pids of all processes in a pid namespace."""
    return {int(pid) for pid in os.listdir("/proc") if pid.isdigit() and pid_namespace(pid) == namespace}


def children(pid, name):
    """The children of a process that have this name."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open("/proc/%s/stat" % entry) as stat:
                comm, rest = re.search(r"\((.*)\) \S (\d+)", stat.read()).groups()
        except (OSError, AttributeError):
            continue
        if int(rest) == pid and comm == name:
            found.append(int(entry))
    return found


def child(pid, name):
    """The one child of a process that has this name."""
    found = children(pid, name)
    assert len(found) == 1, (name, found)
    return found[0]


def leavings():
    """What a lab could leave behind on the machine, beside processes; what others do there does not count."""
    with open("/proc/self/mounts") as lines:
        mounts = [line for line in lines if "tunfilter" in line or line.split()[1].startswith(("/etc", "/proc"))]
    files = [name for name in os.listdir("/tmp") if re.match("tunfilter(?!-test-)", name)]
    return files, mounts, {"tun0", "tap0"}.intersection(os.listdir("/sys/class/net"))


def is_over(namespace):
    """Waits until nobody lives in a pid namespace."""
    harness.wait_until(lambda: not inhabitants(namespace), 20,
                       lambda: "still alive: %s" % inhabitants(namespace))


class Terminal:
    """A program that runs in a terminal of its own, as its foreground job."""

    def __init__(self, place, *argv, shell="/bin/sh"):
        self.text = ""
        environment = dict(place.environment(), SHELL=shell, PS1="prompt> ", TERM="dumb", ENV="")
        argv = harness.ordinary_user(argv)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(place.path)
                os.execvpe(argv[0], argv, environment)
            finally:
                os._exit(127)
        self.status = None

    def read(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                self.text += os.read(self.fd, 4096).decode(errors="replace").replace("\r", "")
            except OSError:  # the last one has closed it
                time.sleep(seconds)

    def wait_for(self, pattern, timeout=20):
        """Waits until the output after the last match has the pattern; the match."""
        deadline = time.monotonic() + timeout
        while True:
            match = re.search(pattern, self.text, re.M)
            if match:
                self.text = self.text[match.end():]
                return match
            assert time.monotonic() < deadline, "no %r in %r" % (pattern, self.text)
            self.read(0.1)

    def type(self, text):
        os.write(self.fd, text.encode())

    def ended(self):
        if self.status is None:
            self.read(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def end(self):
        """Waits for the end; the exit status."""
        harness.wait_until(self.ended, 20, lambda: "it goes on: %r" % self.text)
        return self.status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
