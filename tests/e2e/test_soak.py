"""All at once and for long: mixed traffic, a script with state, reloads, link flaps and errors on purpose.

TUNFILTER_SOAK is its length in seconds. It ends with a report on standard output.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

import pytest

import harness
import lab_tools
import soak_hosts

SECONDS = float(os.environ.get("TUNFILTER_SOAK", 20 if harness.SANITIZED else 60))
RELOAD = 3  # seconds between two
FLAP = 5
GROWTH = 8 << 10  # KiB of resident memory that are no leak, however long it runs

RULES = """
local tf = require "tunfilter"
tf.flow.keep = true
tf.keep.loads = (tf.keep.loads or 0) + 1
local rejected, longest = tf.counter "left-out", 0

tf.on_packet("udp port 5001", function(pkt)
   if pkt:replace("????", "mark", 1) == 0 then return end
   local flow = tf.flow(pkt)
   flow.count = (flow.count or 0) + 1
   if flow.count % 1000 == 999 then error "on purpose" end
   if flow.count % 100 == 1 then
      rejected:add()
      return tf.drop
   end
   if flow.count % 50 == 2 then return pkt:hold(0.02) end
end)
tf.on_packet("udp port 5002", function(pkt)
   local flow = tf.flow(pkt)
   flow.text = (flow.text or ""):sub(-50) .. #pkt
end)
tf.on_packet("tcp", function(pkt)
   pkt.ip.ttl = 63
   local flow = tf.flow(pkt)
   flow.bytes = (flow.bytes or 0) + #pkt
end)
tf.on_packet("icmp", function(pkt) tf.send(pkt.to, pkt:copy()) return tf.drop end)
tf.every(2, function()
   local begin = os.clock()
   collectgarbage()
   local took = os.clock() - begin
   if took > longest then
      longest = took
      tf.log(("a collection took %.0f us"):format(took * 1e6))
   end
end)
"""


def processes(running):
    """The program's processes with a part in the path: [(resident KiB that are its own, descriptors)]."""
    found = []
    pid = lab_tools.child(lab_tools.child(running.pid, "tunfilter-lab"), "tunfilter")
    children = Path("/proc/%d/task/%d/children" % (pid, pid)).read_text(encoding="ascii").split()
    for one in [pid, *map(int, children)]:
        text = Path("/proc/%d/smaps_rollup" % one).read_text(encoding="ascii")
        found.append((int(re.search(r"Pss: +(\d+)", text)[1]), len(os.listdir("/proc/%d/fd" % one))))
    return found


class Watch:
    """Resident memory and descriptors of all the program's processes, over time."""

    def __init__(self):
        self.samples = []

    def look(self, running):
        try:
            found = processes(running)
        except (OSError, AssertionError):  # one of them has just ended, or is not ours to see
            return
        if len(found) > 1:
            self.samples.append((sum(memory for memory, _ in found), sum(fds for _, fds in found), len(found)))

    def flat(self):
        """The least of each third: a new script that is on trial beside the old one comes and goes."""
        size = len(self.samples) // 3
        thirds = [self.samples[size * i : size * (i + 1)] for i in range(3)]
        return [[min(sample[what] for sample in third) for third in thirds] for what in (0, 1)]


def add_up(table, hosts, exact):
    """What the hosts and their kernels saw against the program's counters; both are lists by side."""
    for i, (side, other) in enumerate((("left", "right"), ("right", "left"))):
        out = sum(table[row][i] for row in ("forwarded", "held", "sent", "errors")) + table["replied"][1 - i] \
            - table["lost"][i] - table["invalid"][i]
        if exact:
            assert hosts[side]["device out"] == table["in"][i], (side, table, hosts)
            assert hosts[other]["device in"] == out, (side, out, table, hosts)
        missing = hosts[side]["sent"] - hosts[other]["came"]
        explained = table["dropped"][i] + table["lost"][i] + table["kernel-dropped"][i] + hosts[other]["no room"]
        assert 0 <= missing <= explained + 8192 * (hosts["left"].get("flaps", 0) + hosts["right"].get("flaps", 0)), \
            (side, table, hosts)
        assert missing > 0, "the script drops some"
        assert hosts[other]["twice"] == 0 and hosts[other]["unmarked"] == 0, hosts
        assert hosts[side]["stream sent"] == hosts[other]["stream came"] > 0 and hosts[other]["stream wrong"] == 0, hosts
        assert hosts[side]["stuck"] == 0 and hosts[side]["answered"] > 0, hosts


@pytest.mark.parametrize("offload", [True, False])
def test_soak(place, capsys, offload):
    """With offload the links carry most; without it the kernel's counters have the same unit as ours."""
    seconds, watch = SECONDS / 2, Watch()
    path = place.script(RULES, "soak.lua")
    options = [] if offload else ["--no-offload"]
    with harness.Program(place, place.program, "lab", path, "--on-error", "forward", *options, "--", sys.executable, "-B",
                         Path(soak_hosts.__file__).parent / "soak_hosts.py", seconds, FLAP) as running:
        running.wait_for(r"lab \d+:")
        end, next_reload = time.monotonic() + seconds, time.monotonic() + RELOAD
        while time.monotonic() < end and running.process.poll() is None:
            time.sleep(0.25)
            watch.look(running)
            if time.monotonic() >= next_reload:
                os.replace(place.script(RULES, "next.lua"), path)
                next_reload = time.monotonic() + RELOAD
        status = running.end()
    print(running.stderr)
    assert status == 0
    hosts = json.loads(re.search("^hosts: (.*)$", running.stderr, re.M)[1])
    table = running.table()
    memory, descriptors = watch.flat() if len(watch.samples) >= 3 else (None, None)
    pauses = [int(us) for us in re.findall(r"a collection took (\d+) us", running.stderr)]
    with capsys.disabled():
        print("\nsoak of %g s, %s: %d packets, %d reloads, %d flaps, %d errors on purpose, %d lost, %d dropped by the kernel" % (
            seconds, "offload" if offload else "no offload", sum(table["in"]), running.stderr.count("is loaded anew"),
            hosts["left"].get("flaps", 0) + hosts["right"].get("flaps", 0), sum(table["errors"]), sum(table["lost"]),
            sum(table["kernel-dropped"])))
        print("  streams: %d and %d MB; datagrams: %d of %d and %d of %d" % (
            hosts["right"]["stream came"] >> 20, hosts["left"]["stream came"] >> 20, hosts["right"]["came"],
            hosts["left"]["sent"], hosts["left"]["came"], hosts["right"]["sent"]))
        for side in ("left", "right"):
            print("  round trips from %s: p50 %s us, p99 %s us, p99.9 %s us, longest %s us; %d of %d answered" % (
                side, *(hosts[side][name] for name in ("p50", "p99", "p99.9", "longest", "answered", "asked"))))
        print("  the longest of the collections: %s us; resident memory, KiB, by thirds: %s; descriptors: %s" % (
            max(pauses, default=None), memory, descriptors))
    add_up(table, hosts, exact=not offload)
    assert sum(table["errors"]) > 0 and sum(table["held"]) > 0 and sum(table["sent"]) > 0
    if seconds > 4 * RELOAD:
        assert running.stderr.count("is loaded anew") > 0
    if memory:
        assert descriptors[2] <= descriptors[0], watch.samples
        assert harness.SANITIZED or memory[2] <= memory[0] + GROWTH, watch.samples  # they keep what is freed
