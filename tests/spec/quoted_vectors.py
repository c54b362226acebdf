"""ICMP errors by scapy, as a Lua table: one that quotes a packet, and what it has to be when that packet's addresses and
ports are others."""
import logging

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import (ICMP, IP, TCP, UDP, ICMPv6DestUnreach, ICMPv6EchoRequest, ICMPv6PacketTooBig, ICMPv6ParamProblem,  # noqa: E402
                       ICMPv6TimeExceeded, IPv6, IPv6ExtHdrDestOpt, IPOption_NOP, Raw)

BEFORE4, AFTER4 = {"src": "10.99.0.1", "dst": "10.77.0.2"}, {"src": "192.0.2.7", "dst": "198.51.100.9"}
BEFORE6, AFTER6 = {"src": "fd99::1", "dst": "fd77::2"}, {"src": "2001:db8::7", "dst": "2001:db8:1::9"}
OPTIONS = [("MSS", 1460), ("NOP", None), ("WScale", 7), ("SAckOK", b""), ("Timestamp", (1, 2))]


def upper(kind, old):
    sport, dport = (1234, 80) if old else (40000, 8080)
    if kind == "udp":
        return UDP(sport=sport, dport=dport) / Raw(b"data" * 20)
    if kind == "no sum":
        return UDP(sport=sport, dport=dport, chksum=0) / Raw(b"data" * 20)
    if kind in ("tcp", "options"):
        return TCP(sport=sport, dport=dport, seq=7, flags="S", options=OPTIONS if kind == "options" else []) / Raw(b"odd")
    if kind == "icmp":
        return ICMP(id=sport, seq=7) / Raw(b"ping" * 9)
    return ICMPv6EchoRequest(id=sport, seq=7, data=b"ping" * 9)


def inner4(kind, old, **more):
    return bytes(IP(**(BEFORE4 if old else AFTER4), ttl=1, id=99, **more) / upper(kind, old))


def inner6(kind, old, extension=False):
    ip = IPv6(**(BEFORE6 if old else AFTER6), hlim=1)
    return bytes(ip / IPv6ExtHdrDestOpt() / upper(kind, old) if extension else ip / upper(kind, old))


def put(kind, error, make, cut=None, **more):
    old, new = make(kind, True, **more), make(kind, False, **more)
    cut = len(old) if cut is None else cut
    ip = IP(src="10.77.0.9", dst="10.77.0.1") if make is inner4 else IPv6(src="fd77::9", dst="fd77::1")
    print('{ kind = "%s", version = %d, size = %d, before = "%s", after = "%s" },' % (
        kind, 4 if make is inner4 else 6, cut, bytes(ip / error / Raw(old[:cut])).hex(), bytes(ip / error / Raw(new[:cut])).hex()))


print("return {")
for kind in ("udp", "no sum", "tcp", "options", "icmp"):
    for error in (ICMP(type=3, code=3), ICMP(type=3, code=4, nexthopmtu=1200), ICMP(type=4), ICMP(type=5, gw="10.0.0.1"),
                  ICMP(type=11), ICMP(type=12, ptr=3)):
        put(kind, error, inner4)
    for cut in (28, 29, 32, 33, 39, 40, 41, 44, 47):
        put(kind, ICMP(type=11), inner4, cut)
    put(kind, ICMP(type=11), inner4, 24 + 8, options=[IPOption_NOP()] * 4)
for kind in ("udp", "tcp", "options", "icmp6"):
    for error in (ICMPv6DestUnreach(code=4), ICMPv6PacketTooBig(mtu=1280), ICMPv6TimeExceeded(), ICMPv6ParamProblem()):
        put(kind, error, inner6)
        put(kind, error, inner6, extension=True)
    for cut in (48, 53, 60, 70):
        put(kind, ICMPv6TimeExceeded(), inner6, cut)
print("}")
