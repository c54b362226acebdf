"""pkt:reject(): what is sent back, against packets that scapy makes, and what real clients make of it."""

import errno
import sys

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoRequest, ICMPv6ND_Redirect, ICMPv6Unknown, IPv6, \
    IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Raw
from scapy.utils import rdpcap, wrpcap

import harness

REJECT = 'local tf = require "tunfilter"\ntf.on_packet(function(pkt) return pkt:reject() end)\n'

V4, BACK4 = dict(src="10.0.0.1", dst="10.0.0.2"), dict(src="10.0.0.2", dst="10.0.0.1", id=0, flags="DF", ttl=64)
V6, BACK6 = dict(src="fd00::1", dst="fd00::2"), dict(src="fd00::2", dst="fd00::1", hlim=64)
P, Q = dict(sport=1234, dport=80), dict(sport=80, dport=1234)
M1, M2 = "02:00:00:00:00:01", "02:00:00:00:00:02"


def rst(seq=0, ack=None):
    flags = "R" if ack is None else "RA"
    return TCP(**Q, seq=seq, ack=ack or 0, flags=flags, window=0)


def unreachable4(original, code):
    return IP(tos=0xc0, **BACK4) / ICMP(type=3, code=code) / Raw(bytes(original)[:576 - 28])


def unreachable6(original, code):
    return IPv6(**BACK6) / ICMPv6DestUnreach(code=code) / Raw(bytes(original)[:1280 - 48])


def udp4(n, **more):
    return IP(**{**V4, **more}) / UDP(**P) / Raw(b"x" * n)


def udp6(n, **more):
    return IPv6(**{**V6, **more}) / UDP(**P) / Raw(b"x" * n)


SYN, SYN6 = IP(**V4) / TCP(**P, flags="S", seq=1000), IPv6(**V6) / TCP(**P, flags="S", seq=1000)
PARTIAL = 0x0a00 + 1 + 0x0a00 + 2 + 6 + 20  # the sum of the pseudo-header alone
FRAGMENT = dict(flags="MF", id=77)
ROUTE = IPv6ExtHdrRouting(type=0, segleft=1, addresses=["fd00::9"])

# (what it is, the packet, its answer)
ANSWERED = [
    ("SYN", SYN, IP(**BACK4) / rst(ack=1001)),
    ("SYN with data", IP(**V4) / TCP(**P, flags="S", seq=4294967295) / Raw(b"abc"), IP(**BACK4) / rst(ack=3)),
    ("SYN and FIN", IP(**V4) / TCP(**P, flags="SF", seq=5) / Raw(b"abc"), IP(**BACK4) / rst(ack=10)),
    ("no flags", IP(**V4) / TCP(**P, flags="", seq=5), IP(**BACK4) / rst(ack=5)),
    ("ACK", IP(**V4) / TCP(**P, flags="A", seq=5, ack=4000000000), IP(**BACK4) / rst(seq=4000000000)),
    ("data", IP(**V4) / TCP(**P, flags="PA", seq=5, ack=6) / Raw(b"abc"), IP(**BACK4) / rst(seq=6)),
    ("SYN and ACK", IP(**V4) / TCP(**P, flags="SA", seq=5, ack=6), IP(**BACK4) / rst(seq=6)),
    ("SYN with options", IP(**V4) / TCP(**P, flags="S", seq=5, options=[("MSS", 1460), ("SAckOK", b"")]), IP(**BACK4) / rst(ack=6)),
    ("SYN, IPv6", SYN6, IPv6(**BACK6) / rst(ack=1001)),
    ("data, IPv6", IPv6(**V6) / TCP(**P, flags="A", seq=1, ack=2) / Raw(b"abc"), IPv6(**BACK6) / rst(seq=2)),
    ("SYN behind extension headers", IPv6(**V6) / IPv6ExtHdrHopByHop() / TCP(**P, flags="S", seq=1), IPv6(**BACK6) / rst(ack=2)),
    ("SYN on its way through others", IPv6(**V6) / ROUTE / TCP(**P, flags="S", seq=1),
     IPv6(**{**BACK6, "src": "fd00::9"}) / rst(ack=2)),
    ("UDP", udp4(5), unreachable4(udp4(5), 3)),
    ("UDP, as much as fits", udp4(520), unreachable4(udp4(520), 3)),
    ("UDP, more than fits", udp4(521), unreachable4(udp4(521), 3)),
    ("UDP, large", udp4(1400), unreachable4(udp4(1400), 3)),
    ("UDP, no checksum", IP(**V4) / UDP(**P, chksum=0), unreachable4(IP(**V4) / UDP(**P, chksum=0), 3)),
    ("UDP, first fragment", udp4(64, **FRAGMENT), unreachable4(udp4(64, **FRAGMENT), 3)),
    ("UDP, IPv6", udp6(5), unreachable6(udp6(5), 4)),
    ("UDP, IPv6, as much as fits", udp6(1184), unreachable6(udp6(1184), 4)),
    ("UDP, IPv6, more than fits", udp6(1185), unreachable6(udp6(1185), 4)),
    ("ping", IP(**V4) / ICMP(id=5), unreachable4(IP(**V4) / ICMP(id=5), 13)),
    ("ping, IPv6", IPv6(**V6) / ICMPv6EchoRequest(id=5), unreachable6(IPv6(**V6) / ICMPv6EchoRequest(id=5), 1)),
    ("another protocol", IP(proto=47, **V4) / Raw(b"abc"), unreachable4(IP(proto=47, **V4) / Raw(b"abc"), 13)),
    ("another protocol, IPv6", IPv6(nh=47, **V6) / Raw(b"abc"), unreachable6(IPv6(nh=47, **V6) / Raw(b"abc"), 1)),
    # As in the sender's own capture, where the network card was to finish the checksum.
    ("SYN, checksum to come", IP(**V4) / TCP(**P, flags="S", seq=1000, chksum=PARTIAL), IP(**BACK4) / rst(ack=1001)),
]

ETHER, ETHER_BACK = dict(src=M1, dst=M2), dict(src=M2, dst=M1)
ANSWERED_ON_ETHERNET = [
    ("SYN", Ether(**ETHER) / SYN, Ether(**ETHER_BACK) / IP(**BACK4) / rst(ack=1001)),
    ("SYN with padding", Ether(bytes(Ether(**ETHER) / SYN) + bytes(6)), Ether(**ETHER_BACK) / IP(**BACK4) / rst(ack=1001)),
    ("SYN in a VLAN", Ether(**ETHER) / Dot1Q(vlan=42, prio=3) / SYN6, Ether(**ETHER_BACK) / Dot1Q(vlan=42, prio=3) / IPv6(**BACK6) / rst(ack=1001)),
    ("UDP in two VLANs", Ether(**ETHER) / Dot1AD(vlan=42) / Dot1Q(vlan=7) / udp6(1400),
     Ether(**ETHER_BACK) / Dot1AD(vlan=42) / Dot1Q(vlan=7) / unreachable6(udp6(1400), 4)),
    ("UDP with padding", Ether(bytes(Ether(**ETHER) / udp4(1)) + bytes(17)), Ether(**ETHER_BACK) / unreachable4(udp4(1), 3)),
]

NOT_ANSWERED = [
    ("RST", IP(**V4) / TCP(**P, flags="R")), ("RST and ACK", IPv6(**V6) / TCP(**P, flags="RA")),
    *[("ICMP error %d" % t, IP(**V4) / ICMP(type=t) / IP(**BACK4) / UDP()) for t in (3, 4, 5, 11, 12)],
    ("unknown ICMP", IP(**V4) / ICMP(type=99)),
    *[("ICMPv6 error %d" % t, IPv6(**V6) / ICMPv6Unknown(type=t, msgbody=b"\0" * 40)) for t in (1, 2, 3, 4, 100, 127)],
    ("ICMPv6 redirect", IPv6(**V6) / ICMPv6ND_Redirect()),
    ("later fragment", IP(frag=10, proto=17, **V4) / Raw(b"x" * 16)),
    ("later fragment, IPv6", IPv6(**V6) / IPv6ExtHdrFragment(nh=17, offset=10, id=1) / Raw(b"x" * 16)),
    *[("from " + a, udp4(1, src=a)) for a in ("0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255")],
    *[("to " + a, udp4(1, dst=a)) for a in ("224.0.0.251", "239.1.2.3", "255.255.255.255", "0.0.0.0", "127.0.0.1")],
    *[("from " + a, udp6(1, src=a)) for a in ("::", "::1", "ff02::1")],
    *[("to " + a, udp6(1, dst=a)) for a in ("ff02::1", "ff0e::1", "::", "::1")],
    ("SYN to a group", IP(src="10.0.0.1", dst="224.0.0.1") / TCP(**P, flags="S")),
    ("through others to a group", IPv6(**V6) / IPv6ExtHdrRouting(type=0, segleft=1, addresses=["ff0e::1"]) / UDP(**P)),
    ("malformed", IP(bytes(udp4(100))[:60])),
    ("wrong IPv4 checksum", udp4(1, chksum=1)),
    ("wrong TCP checksum", IP(**V4) / TCP(**P, flags="S", chksum=1)),
    ("wrong UDP checksum", IPv6(**V6) / UDP(**P, chksum=1)),
]
NOT_ANSWERED_ON_ETHERNET = [
    ("to all", Ether(src=M1, dst="ff:ff:ff:ff:ff:ff") / SYN), ("to a group", Ether(src=M1, dst="01:00:5e:00:00:01") / SYN),
    ("from a group", Ether(src="03:00:00:00:00:01", dst=M2) / SYN), ("ARP", Ether(**ETHER) / ARP()),
    ("no IP", Ether(**ETHER, type=0x88b5) / Raw(b"x" * 50)),
]


def replay(place, packets, linktype, rules=REJECT, times=None):
    """What comes out, as bytes, and the table of counters."""
    captured = [Raw(bytes(packet)) for packet in packets]
    for i, packet in enumerate(captured):
        packet.time = 1000 + (times[i] if times else i)
    place.count += 1
    into, out = (place.path / ("%s%d.pcap" % (name, place.count)) for name in ("in", "out"))
    wrpcap(str(into), captured, linktype=linktype)
    result = harness.run(place, "replay", place.script(rules), into, out, user=False)
    assert result.returncode == 0, result.stderr
    table = harness.tables(result.stderr)[-1]
    return [bytes(packet) for packet in rdpcap(str(out))] if table["sent"] != [0, 0] else [], table


@pytest.mark.parametrize("linktype, cases", [(101, ANSWERED), (1, ANSWERED_ON_ETHERNET)])
def test_answers(place, linktype, cases):
    came, table = replay(place, [packet for _, packet, _ in cases], linktype)
    assert len(came) == len(cases)
    for (what, _, expected), answer in zip(cases, came):
        assert answer.hex() == bytes(expected).hex(), what
    assert table["dropped"] == [len(cases), 0]
    assert table["sent"] == [0, len(cases)]


@pytest.mark.parametrize("linktype, cases", [(101, NOT_ANSWERED), (1, NOT_ANSWERED_ON_ETHERNET)])
def test_what_must_not_be_answered(place, linktype, cases):
    for what, packet in cases:
        came, table = replay(place, [packet], linktype)
        assert came == [], what
        assert table["dropped"] == [1, 0]


def test_errors_are_limited(place):
    times = [0] * 200 + [0.5] * 200 + [60] * 200
    came, table = replay(place, [udp4(10)] * 600, 101, times=times)
    assert len(came) == 50 + 50 + 50
    assert table["dropped"] == [600, 0]
    assert len(replay(place, [SYN] * 600, 101, times=times)[0]) == 600


CLIENT = """
import errno, socket, sys
kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
client = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
client.settimeout(20)
try:
    client.connect((address, port))
    client.send(b"secret")
    client.recv(100)
    print("OK")
except OSError as error:
    print(errno.errorcode.get(error.errno, error))
"""

# Without reject a SYN is sent again and again, and UDP is silent: the client would time out.
REFUSE = """
local tf = require "tunfilter"
tf.on_packet("dst port 80 or dst port 53", function(pkt) return pkt:reject() end)
"""


@pytest.mark.parametrize("kind", ["tun", "tap"])
@pytest.mark.parametrize("address", ["10.77.0.2", "fd77::2"])
@pytest.mark.parametrize("protocol, port", [("tcp", 80), ("udp", 53)])
def test_a_client_is_refused(place, kind, address, protocol, port):
    client = place.file("client.py", CLIENT)
    result = harness.run_lab(place, REFUSE, sys.executable, client, protocol, address, port,
                             options=("--left", kind, "--right", kind))
    assert result.stdout.strip() == errno.errorcode[errno.ECONNREFUSED], result.stdout + result.stderr


def test_curl_is_refused(place):
    result = harness.run_lab(place, REFUSE, "curl", "--max-time", "30", "http://10.77.0.2/")
    assert result.returncode == 7, result.stdout + result.stderr


def test_an_open_connection_is_reset(place):
    rules = """
local tf = require "tunfilter"
tf.on_packet("tcp", function(pkt)
   if pkt.payload:find("secret", 1, true) then return pkt:reject() end
end)
"""
    server = place.file("server.py", "import socket\ns = socket.create_server(('', 8000))\nopen('listening', 'w')\n"
                        "c, _ = s.accept()\nc.recv(100)\n")
    client = place.file("client.py", CLIENT)
    result = harness.run_lab(place, rules, "sh", "-c", "while ! [ -e listening ]; do sleep 0.05; done; %s %s tcp 10.77.0.2 8000"
                             % (sys.executable, client), options=("--on-right", "%s %s" % (sys.executable, server)))
    (place.path / "listening").unlink()
    assert result.stdout.strip() == errno.errorcode[errno.ECONNRESET], result.stdout + result.stderr


def test_ping_says_that_it_is_filtered(place):
    rules = 'local tf = require "tunfilter"\ntf.on_packet("icmp or icmp6", function(pkt) return pkt:reject() end)\n'
    result = harness.run_lab(place, rules, "ping", "-c1", "-W5", "10.77.0.2")
    assert "Packet filtered" in result.stdout, result.stdout + result.stderr


def test_a_copy_cannot_be_rejected(place):
    rules = 'local tf = require "tunfilter"\ntf.on_packet(function(pkt) return pkt:copy():reject() end)\n'
    into = place.path / "one.pcap"
    wrpcap(str(into), [SYN], linktype=101)
    result = harness.run(place, "replay", place.script(rules), into, place.path / "none.pcap", user=False)
    assert "reject: a copy has no verdict" in result.stderr, result.stderr
