"""One table of scenarios, over every kind of device: the same scripts, the same packets in, the same packets out."""

import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.packet import Raw

import harness
import kinds
import packets

SCRIPTS = harness.ROOT / "scripts"

L4, R4 = dict(src="10.77.0.1", dst="10.77.0.2"), dict(src="10.77.0.2", dst="10.77.0.1")
L6, R6 = dict(src="fd77::1", dst="fd77::2"), dict(src="fd77::2", dst="fd77::1")


def left(packet, *out):
    return "left", packet, [("right", packet) if one is True else one for one in out]


def right(packet, *out):
    return "right", packet, [("left", packet) if one is True else one for one in out]


def pair4(upper):
    return [left(IP(**L4) / upper, True), right(IP(**R4) / upper, True)]


def pair6(upper):
    return [left(IPv6(**L6) / upper, True), right(IPv6(**R6) / upper, True)]


def tcp(sport, dport, flags="PA", data=b"GET / HTTP/1.0\r\n\r\n"):
    return TCP(sport=sport, dport=dport, seq=1000, ack=2000, flags=flags, options=[("NOP", None)] * 4) / Raw(data)


def of_all_sizes():
    """Every length from the shortest to the MTU's neighbourhood would take long: the ends, and some between."""
    for size in (20, 21, 27, 28, 29, 100, 575, 576, 577, 1279, 1280, 1281, 1499, 1500):
        yield left(IP(**L4, proto=253) / Raw(bytes(i % 251 for i in range(size - 20))), True)


def of_all_kinds():
    """What packets.py makes, between the addresses that say the side."""
    rng = random.Random(5)
    for _ in range(40):
        for packet in packets.one4(rng):
            packet.src, packet.dst = "10.77.0.1", "10.77.0.2"
            yield left(rebuilt(packet), True)


def rebuilt(packet):
    """With checksums that fit its new addresses."""
    for layer in (IP, UDP, TCP):
        if layer in packet:
            del packet[layer].chksum
    return IP(bytes(packet))


CHANGE = """
local tf = require "tunfilter"
tf.on_packet("udp dst port 7", function(pkt)
   pkt.payload = "[" .. pkt.payload .. "]"   -- longer: lengths and checksums follow
   pkt.ip.ttl = 9
   pkt.udp.sport = 4242
end)
"""

TWICE = """
local tf = require "tunfilter"
tf.on_packet("udp", function(pkt)
   tf.send(pkt.to, pkt:copy())
   local back = pkt:copy()
   back.ip.src, back.ip.dst = pkt.ip.dst, pkt.ip.src
   if back.eth then back.eth.src, back.eth.dst = pkt.eth.dst, pkt.eth.src end
   tf.send(pkt.from, back)
end)
"""

REJECT = """
local tf = require "tunfilter"
tf.on_packet("tcp dst port 23", function(pkt) return pkt:reject() end)
"""

WRONG = """
local tf = require "tunfilter"
tf.on_packet("udp dst port 9", function(pkt) error "no" end)
"""

PING, PONG = ICMP(type=8, id=7, seq=1) / Raw(b"abcdefgh"), ICMP(type=0, id=7, seq=1) / Raw(b"abcdefgh")
PING6, PONG6 = ICMPv6EchoRequest(id=7, seq=1, data=b"abc"), ICMPv6EchoReply(id=7, seq=1, data=b"abc")
UDP7, UDP9 = UDP(sport=1000, dport=7), UDP(sport=1000, dport=9) / Raw(b"x")

# title: (script, options, steps); where it says "fails" a callback does, once
TABLE = {
    "all passes, byte for byte": (SCRIPTS / "pass.lua", [], [
        *pair4(tcp(1000, 80)), *pair4(UDP9), *pair4(PING), *pair6(tcp(1000, 80)), *pair6(UDP9), *pair6(PING6)]),
    "packets of all sizes": (SCRIPTS / "pass.lua", [], list(of_all_sizes())),
    "packets of all kinds": (SCRIPTS / "pass.lua", [], list(of_all_kinds())),
    "a wrong checksum is nobody's business": (SCRIPTS / "pass.lua", [], [
        left(IP(**L4) / UDP(sport=1, dport=2, chksum=0x1234) / Raw(b"x"), True),
        right(IP(**R4) / TCP(sport=1, dport=2, chksum=0x1234), True)]),
    "pings are dropped": (SCRIPTS / "drop-icmp.lua", [], [
        left(IP(**L4) / PING), right(IPv6(**R6) / PING6), *pair4(UDP9), *pair6(tcp(1, 2))]),
    "a port is another, both ways": (SCRIPTS / "redirect-port.lua", [], [
        left(IP(**L4) / tcp(1000, 80), ("right", IP(**L4) / tcp(1000, 8080))),
        right(IP(**R4) / tcp(8080, 1000), ("left", IP(**R4) / tcp(80, 1000))),
        left(IPv6(**L6) / tcp(1000, 80), ("right", IPv6(**L6) / tcp(1000, 8080))),
        right(IPv6(**R6) / tcp(8080, 1000), ("left", IPv6(**R6) / tcp(80, 1000))),
        left(IP(**L4) / UDP(sport=9, dport=80) / Raw(b"odd"), ("right", IP(**L4) / UDP(sport=9, dport=8080) / Raw(b"odd"))),
        left(IP(**L4) / tcp(1000, 81), True)]),
    "settings reach the script": (SCRIPTS / "redirect-port.lua", ["--set", "asked=81", "--set", "served=9"], [
        left(IP(**L4) / tcp(1000, 81), ("right", IP(**L4) / tcp(1000, 9))), left(IP(**L4) / tcp(1000, 80), True)]),
    "a hop more": (SCRIPTS / "extra-hop.lua", [], [
        left(IP(**L4, ttl=64) / UDP9, ("right", IP(**L4, ttl=63) / UDP9)),
        right(IPv6(**R6, hlim=2) / UDP9, ("left", IPv6(**R6, hlim=1) / UDP9)),
        left(IP(**L4, ttl=1) / UDP9, ("left", IP(src="10.77.0.254", dst="10.77.0.1", id=0) / ICMP(type=11) / (IP(**L4, ttl=1) / UDP9)))]),
    "pings are answered": (SCRIPTS / "echo.lua", [], [
        left(IP(**L4) / PING, ("left", IP(**R4) / PONG)), right(IPv6(**R6) / PING6, ("right", IPv6(**L6) / PONG6)),
        *pair4(UDP9)]),
    "a longer payload": (CHANGE, [], [
        left(IP(**L4) / UDP7 / Raw(b"x" * n), ("right", IP(**L4, ttl=9) / UDP(sport=4242, dport=7) / Raw(b"[" + b"x" * n + b"]")))
        for n in (0, 1, 2, 1000)] + [
        left(IPv6(**L6) / UDP7 / Raw(b"abc"), ("right", IPv6(**L6, hlim=9) / UDP(sport=4242, dport=7) / Raw(b"[abc]"))),
        *pair4(UDP9)]),
    "the script's own packets, in order": (TWICE, [], [
        left(IP(**L4) / UDP9, True, ("left", IP(**R4) / UDP9), True), left(IP(**L4) / PING, True)]),
    "a refusal": (REJECT, [], [
        left(IP(**L4) / TCP(sport=9, dport=23, seq=5, flags="S"),
             ("left", IP(**R4, id=0, flags="DF") / TCP(sport=23, dport=9, ack=6, flags="RA", window=0))),
        *pair4(tcp(1000, 22))]),
    "a callback that fails": (WRONG, [], [left(IP(**L4) / UDP9), *pair4(PING)]),
    "a callback that fails, forward": (WRONG, ["--on-error", "forward"], [left(IP(**L4) / UDP9, True), *pair4(PING)]),
}


@pytest.mark.parametrize("title", TABLE)
@pytest.mark.parametrize("kind", kinds.HERE)
def test_kind(place, kind, title):
    rules, options, steps = TABLE[title]
    rules = place.script(rules if isinstance(rules, str) else rules.read_text())
    kinds.KINDS[kind](place, rules, options, steps, title.count("fails"))
