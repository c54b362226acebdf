"""The kinds of devices that this machine can run the program on, each as one way to play a scenario.

A scenario is a script, options, steps, and how many callbacks fail in all. A step is a side, a packet that arrives there, and what has to
come out then: (side, packet) pairs. Packets are scapy's, and begin with IP; where a kind carries Ethernet they
get a header, turned round for what goes back to where the packet came from.
"""

import os
import select
import sys
from pathlib import Path

import pytest
from scapy.layers.l2 import Ether
from scapy.utils import PcapReader, PcapWriter

import harness
import nodes

MACS = {"left": "02:00:00:00:00:01", "right": "02:00:00:00:00:02"}
OTHER = {"left": "right", "right": "left"}
PATIENCE = 30  # seconds for a packet to come; only a failing test waits for so long


def plain(side, packet, to=None):
    return bytes(packet)


def ethernet(side, packet, to=None):
    """The frame of a packet that arrived at a side and, if told, goes out of another."""
    source, target = (side, OTHER[side]) if to != side else (OTHER[side], side)
    return bytes(Ether(src=MACS[source], dst=MACS[target]) / packet)


def play(run, steps, frame):
    """On a program that runs: .left and .right send packets to it and receive what it writes."""
    ports = {"left": run.left, "right": run.right}
    for number, (side, packet, expected) in enumerate(steps):
        ports[side].send(frame(side, packet))
        for to, port in ports.items():
            wanted = [frame(side, out, to) for where, out in expected if where == to]
            if wanted:
                assert port.receive(len(wanted), PATIENCE) == wanted, "step %d, %s" % (number, to)
    assert not select.select([port.socket for port in ports.values()], [], [], 0.2)[0], "more came out"


def check_end(program, errors):
    assert program.status == 0, program.stderr
    assert harness.tables(program.stderr)[-1].get("callback-errors", 0) == errors, program.stderr


def lab(kind, frame):
    def run(place, rules, options, steps, errors):
        with harness.Lab(place, rules, *options, kind=kind) as program:
            play(program, steps, frame)
        check_end(program, errors)
    return run


def device_nodes(kind, frame):
    def run(place, rules, options, steps, errors):
        if nodes.why_not():
            pytest.skip("no device nodes: " + nodes.why_not())
        with nodes.Nodes(place, rules, *options, kind=kind) as program:
            play(program, steps, frame)
        check_end(program, errors)
    return run


def lua(data):
    return '"%s"' % "".join("\\%03d" % byte for byte in data)


def memory(link, frame):
    """The memory device has its two ends inside the program: what `tunfilter test` plays scenarios on."""
    def run(place, rules, options, steps, errors):
        lines = ['local tf, t = require "tunfilter", require "tunfilter.test"',
                 't.scenario("table", { link = "%s" }, function()' % link]
        for side, packet, expected in steps:
            lines.append("t.send(tf.%s, %s)" % (side, lua(frame(side, packet))))
            lines += ["t.expect(tf.%s, %s)" % (to, lua(frame(side, out, to))) for to, out in expected]
        lines += ["t.expect_error()"] * errors + ["t.expect_nothing()", "end)"]
        place.count += 1
        scenarios = place.file("scenarios%d.lua" % place.count, "\n".join(lines))
        done = harness.run(place, "test", rules, scenarios, *options)
        assert done.returncode == 0, done.stdout + done.stderr
    return run


def pcap(place, rules, options, steps, errors):
    """`tunfilter replay`: both sides in one file, told apart by their addresses."""
    came, went = place.path / "came.pcap", place.path / "went.pcap"
    with PcapWriter(str(came), linktype=101, sync=True) as writer:
        for side, packet, _ in steps:
            writer.write(bytes(packet))
    done = harness.run(place, "replay", rules, came, went, "--left-net", "10.77.0.1", "--left-net", "fd77::1", *options)
    assert done.returncode == 0, done.stderr
    with PcapReader(str(went)) as reader:
        assert [bytes(packet) for packet in reader] == [bytes(out) for *_, expected in steps for _, out in expected]


def wintun(place, rules, options, steps, errors):
    """tunfilter.exe under wine, on the stand-in for wintun.dll."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "windows"))
    import wine  # what it stands on is built for this kind alone
    folder = wine.Folder()
    try:
        with wine.Run(folder, rules, *options) as program:
            play(program, steps, plain)
        check_end(program, errors)
    finally:
        folder.remove()


KINDS = {
    "linux tun": lab("tun", plain),
    "linux tap": lab("tap", ethernet),
    "memory, IP": memory("ip", plain),
    "memory, Ethernet": memory("ethernet", ethernet),
    "pcap": pcap,
    "chardev tun": device_nodes("tun", plain),
    "chardev tap": device_nodes("tap", ethernet),
    "wintun": wintun,
}

# Those that the program under test has here; TF_KINDS names others, behind commas.
HERE = os.environ["TF_KINDS"].split(";") if "TF_KINDS" in os.environ else [kind for kind in KINDS if kind != "wintun"]
