"""What a script keeps between packets, through the program: seeds, counters, flows."""

import re

import pytest
from scapy.all import IP, IPv6, TCP, UDP, ICMP, ICMPv6EchoRequest, Raw, wrpcap

import harness
import packets

RANDOM = """
local tf = require "tunfilter"
local numbers = {}
for i = 1, 20 do numbers[i] = tf.random(1e9) .. " " .. math.random(1e9) end
tf.log(table.concat(numbers, " "))
"""


@pytest.fixture
def capture(place):
    """capture(packets): a file of raw IP packets, a second apart."""
    def write(given):
        path = place.path / "in.pcap"
        for number, packet in enumerate(given):
            packet.time = 1000 + number
        wrpcap(str(path), given, linktype=101)
        path.chmod(0o644)
        return path

    return write


def replay(place, script, given, *options):
    done = harness.run(place, "replay", place.script(script), given, place.path / "out.pcap", *options)
    assert done.returncode == 0 and "error" not in done.stderr, done.stderr
    return done.stderr


def test_seed(place, capture):
    given = capture([IP() / UDP()])

    def numbers(*options):
        return re.search(r"\d\d\.\d{3} ([\d ]{50,})$", replay(place, RANDOM, given, *options), re.M)[1]

    assert numbers("--seed", 5) == numbers("--seed", 5)
    assert len({numbers("--seed", 5), numbers("--seed", 6), numbers("--seed", 0), numbers(), numbers()}) == 5


def test_counters_are_shown_in_order_and_nothing_in_their_names_reaches_the_terminal(place, capture):
    shown = replay(place, """
        local tf = require "tunfilter"
        tf.counter "unused"
        tf.on_packet(function(pkt)
           tf.counter(pkt.payload):add()
           tf.counter("bytes"):add(#pkt)
        end)
    """, capture([IP() / UDP() / b"\x1b[2Jname\n", IP() / UDP() / b"\x1b[2Jname\n", IP() / UDP() / b"b"]))
    counters = re.findall(r"^counter +(.*?) +(\S+)$", shown, re.M)
    assert counters == [("unused", "0"), ("\\x1b[2Jname\\x0a", "2"), ("bytes", "%d" % (3 * 28 + 2 * 9 + 1)), ("b", "1")]


def key(packet):
    """What a flow is, by scapy's reading of the packet."""
    ip = packet[IP] if IP in packet else packet[IPv6]
    if TCP in packet or UDP in packet:
        layer = packet[TCP] if TCP in packet else packet[UDP]
        ports = layer.sport, layer.dport
        kind = type(layer).__name__
    else:
        layer = packet[ICMP] if ICMP in packet else packet[ICMPv6EchoRequest]
        ports = layer.id, layer.id
        kind = type(layer).__name__
    return kind, *sorted([(ip.src, ports[0]), (ip.dst, ports[1])])


def test_flows_are_the_pairs_of_ends_that_scapy_sees(place, capture):
    rng = packets.generator(11)
    given = []
    for _ in range(3000):
        version = rng.choice([4, 6])
        host = "10.0.0.%d" if version == 4 else "fd00::%d"
        ip = (IP if version == 4 else IPv6)(src=host % rng.randint(1, 3), dst=host % rng.randint(1, 3))
        echo = ICMP(type=rng.choice([0, 8]), id=rng.randint(1, 3)) if version == 4 else ICMPv6EchoRequest(id=rng.randint(1, 3))
        kind = rng.choice([TCP(flags="A"), UDP(), echo])
        if not isinstance(kind, (ICMP, ICMPv6EchoRequest)):
            kind.sport, kind.dport = rng.randint(1, 3), rng.randint(1, 3)
        given.append((IP if version == 4 else IPv6)(bytes(ip / kind)))
    shown = replay(place, """
        local tf = require "tunfilter"
        tf.flow.timeout = 1e6
        local numbers, made = {}, 0
        tf.on_packet(function(pkt)
           local flow = tf.flow(pkt)
           if not flow.number then
              made = made + 1
              flow.number = made
           end
           numbers[#numbers + 1] = flow.number
        end)
        tf.on_stop(function() tf.log("flows", table.concat(numbers, ",")) end)
    """, capture(given))
    expected, known = [], {}
    for packet in given:
        expected.append(known.setdefault(key(packet), len(known) + 1))
    assert [int(n) for n in re.search(r"flows\t([\d,]+)", shown)[1].split(",")] == expected
    assert len(known) > 100


def test_flows_of_any_bytes(place, capture):
    """Damaged packets harm nothing, and have a flow as soon as they have addresses."""
    rng = packets.generator(12)
    given = []
    for data in packets.many_ip(rng, 2000):
        damaged = bytearray(bytes(data))
        for _ in range(rng.choice([0, 0, 1, 3])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        given.append(Raw(bytes(damaged[: rng.choice([len(damaged), rng.randint(1, len(damaged))])])))
    shown = replay(place, """
        local tf = require "tunfilter"
        tf.flow.max = 100
        local with, without = 0, 0
        tf.on_packet(function(pkt)
           local flow = tf.flow(pkt)
           assert((flow ~= nil) == (pkt.ip ~= nil))
           if flow then
              flow[1] = (flow[1] or 0) + 1
              with = with + 1
           else
              without = without + 1
           end
           assert(tf.flow.count <= 100)
        end)
        tf.on_stop(function() tf.log("with", with, "without", without, "count", tf.flow.count) end)
    """, capture(given))
    with_flow, without = map(int, re.search(r"with\t(\d+)\twithout\t(\d+)\tcount\t100", shown).groups())
    assert with_flow > 1000 and with_flow + without == 2000
