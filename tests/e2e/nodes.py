"""The program on device nodes, as TunTapOSX has them on a Mac: on the stand-in of tests/macos.

The stand-in needs FUSE. Where that is not to be had, why_not() says why.
"""

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import harness

STANDIN = os.environ.get("TF_TUNTAPOSX", str(harness.ROOT / "build/tests/macos/tuntaposx"))
NOT_ALLOWED = 77


@functools.lru_cache
def why_not():
    """Why the stand-in can't run here, or None if it can."""
    if not os.path.exists(STANDIN):
        return "no stand-in at %s: it is built where libfuse3 is there" % STANDIN
    done = subprocess.run([*harness.IN_NAMESPACE, STANDIN, tempfile.gettempdir(), "--", "true"], capture_output=True, text=True,
                          check=False, timeout=harness.DEADLINE)
    return done.stderr.strip() if done.returncode == NOT_ALLOWED else None


def folder(place):
    path = place.path / "nodes"
    path.mkdir(exist_ok=True)
    return path


def run(place, rules, *options, standin=()):
    """`tunfilter run` on the nodes, which should end by itself; a CompletedProcess with texts."""
    argv = [*harness.IN_NAMESPACE, STANDIN, *standin, folder(place), "--"]
    return harness.run(place, "run", place.script(rules), *options, user=False, prefix=map(str, argv))


class Nodes(harness.Wired):
    """`tunfilter run` between two hosts that the test made, on the nodes tun0 and tun1, or tap0 and tap1."""

    def __init__(self, place, rules, *options, kind="tun", keys=("", ""), netns=True):
        script = rules if isinstance(rules, Path) else place.script(rules)
        standin, devices = [], []
        for unit, side in enumerate(("left", "right")):
            standin.append("%s%d=/proc/{%s}/ns/net" % (kind, unit, side))
            there = ",netns={%s}" % side if netns else ""
            devices += ["--" + side, "%s:%s%d%s%s" % (kind, kind, unit, there, keys[unit])]
        super().__init__(place, *harness.IN_NAMESPACE, sys.executable, place.wire, STANDIN, *standin, folder(place), "--",
                         place.program, "run", script, *devices, *options, user=False)
        self.pid = self.wire.pid
        self.names = {"left": kind + "0", "right": kind + "1"}
        self.wait_for("^tunfilter: (callback|no callback)")

    def link(self, side, *words):
        """`ip link set` on a side's interface."""
        status, output = self.run(side, "ip", "link", "set", self.names[side], *words)
        assert status == 0, output

    def give_addresses(self):
        """10.77.0.1 on the left and 10.77.0.2 on the right."""
        for number, side in enumerate(("left", "right"), 1):
            status, output = self.run(side, "ip", "address", "add", "10.77.0.%d/24" % number, "dev", self.names[side])
            assert status == 0, output
