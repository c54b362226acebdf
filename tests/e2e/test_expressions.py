"""An expression in a script selects the packets that tcpdump selects, and one that breaks shows where."""

import re
import sys

import pytest

import harness
import wire

sys.path.insert(0, str(harness.ROOT / "tests/unit"))

import expression_vectors as vectors  # noqa: E402

EXPRESSIONS = vectors.expressions_in(harness.ROOT / "tests/expressions.txt")

COLLECT = """local tf = require "tunfilter"
local picked = {}
for i, expression in ipairs{ %s } do
   picked[i] = {}
   tf.on_packet(expression, function(pkt) table.insert(picked[i], pkt.number) end)
end
tf.on_stop(function()
   for i, numbers in ipairs(picked) do tf.log("picked " .. i .. ": " .. table.concat(numbers, " ")) end
end)
"""


def fits(kind, packet):
    """Whether such a device takes the packet on the far side."""
    if kind == "tap":
        return len(packet) >= 14
    return packet[0] >> 4 in (4, 6) and len(packet) >= {4: 20, 6: 40}[packet[0] >> 4]


@pytest.mark.parametrize("kind", ["tun", "tap"])
def test_what_tcpdump_selects(lab, place, kind):
    packets = vectors.make_ip()
    if kind == "tap":
        packets = vectors.make_ethernet(packets)
    packets = [packet for packet in packets if fits(kind, packet)]
    capture = str(place.path / "expressions.pcap")
    vectors.write_capture(capture, vectors.ETHERNET if kind == "tap" else vectors.RAW, packets)
    wanted = {expression: vectors.by_tcpdump(capture, expression) for expression in EXPRESSIONS}
    wanted = {expression: numbers for expression, numbers in wanted.items() if numbers is not None}
    assert len(wanted) >= 60
    with lab(COLLECT % ", ".join("[==[%s]==]" % expression for expression in wanted), kind=kind) as running:
        assert wire.move(packets, running.left, running.right) == packets
    assert running.status == 0, running.stderr
    picked = re.findall(r"picked \d+: ?([\d ]*)$", running.stderr, re.M)
    assert len(picked) == len(wanted)
    for (expression, numbers), ours in zip(wanted.items(), picked):
        assert [int(number) - 1 for number in ours.split()] == numbers, expression


@pytest.mark.parametrize("kind, expression, mark, words", [
    ("tun", "tcp prot 80", "    ^~~~", "did you mean 'proto'"),
    ("tun", "tcp and (udp or port 80", "                       ^", "ends too early"),
    ("tun", "arp", "^~~", "no packet on a device that carries IP packets"),
    ("tun", "icmp or vlan 5", "        ^~~~", "VLAN"),
    ("tap", "vlan 5000 and ip", "     ^~~~", "4095"),
    ("tap", "host nobody.invalid", "     ^~~~~~~~~~~~~~", "unknown host"),
])
def test_where_it_breaks(place, kind, expression, mark, words):
    script = place.script('local tf = require "tunfilter"\n\ntf.on_packet("%s", print)\n' % expression)
    done = harness.run(place, "check", script, "--left", kind, "--right", kind)
    assert done.returncode == 1
    assert re.search(r"%s:3: bad expression: .*%s" % (script.name, words), done.stderr), done.stderr
    assert "\n   %s\n   %s\n" % (expression, mark) in done.stderr, done.stderr


def test_a_zero_byte_in_it(place):
    script = place.script('require "tunfilter".on_packet("tcp\\0 port 80", print)\n')
    done = harness.run(place, "check", script)
    assert done.returncode == 1
    assert re.search(r"%s:1: .*zero byte" % script.name, done.stderr), done.stderr
