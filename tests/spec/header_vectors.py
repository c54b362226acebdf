"""Packets made by scapy, their fields, and the same packets made with another value, as a Lua table."""
import logging

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import (  # noqa: E402
    ARP, ICMP, IP, TCP, UDP, Dot1AD, Dot1Q, Ether, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop, PadN, Raw)

M1, M2, M3 = "02:00:00:00:00:01", "02:00:5e:10:aa:ff", "fe:dc:ba:98:76:54"
S4, D4, N4 = "10.77.0.1", "10.77.0.2", "192.168.200.9"
S6, D6, N6 = "fd77::1", "fd77::2", "2001:db8:0:1::ffff"
TEXT = b"some text of odd len."
OPTIONS = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (123456789, 4294967295)), ("NOP", None), ("WScale", 7)]

ETH = dict(src=M1, dst=M2)
V4 = dict(src=S4, dst=D4, id=7238, ttl=64, tos=0x2a, flags="DF")
V6 = dict(src=S6, dst=D6, hlim=64, tc=0xb9, fl=0xabcde)
SEG = dict(sport=40000, dport=80, seq=0xfffffff0, ack=0x80000001, flags="PA", window=502, urgptr=3, options=OPTIONS)
DGRAM = dict(sport=5353, dport=53)
ECHO = dict(id=0x1234, seq=65535)


def stack(*layers):
    """A function that builds the packet, with other values for layer i, and its bytes."""
    def build(**changes):
        packet = None
        for i, (cls, fields) in enumerate(layers):
            layer = cls(**{**fields, **changes.get(f"l{i}", {})}) if isinstance(fields, dict) else cls(fields)
            packet = layer if packet is None else packet / layer
        return bytes(packet)
    return build


EXT = [(IPv6ExtHdrHopByHop, dict(options=[PadN(optdata=b"\0\0\0\0")])),
       (IPv6ExtHdrDestOpt, dict(options=[PadN(optdata=b"\0\0\0\0")]))]

out = []


def string(b):
    return '"' + "".join("\\%03d" % x for x in b) + '"'


def lua(x):
    if x is None:
        return "nil"
    if isinstance(x, bool):
        return "true" if x else "false"
    if isinstance(x, int):
        return str(x)
    return string(x.encode())


def case(name, build, link, fields):
    """fields: (view, field, value, and where it is to be written: new value, scapy's changes for it)"""
    rows = []
    for view, field, value, new, change in fields:
        after = "nil" if change is None else string(build(**change))
        rows.append(f"{{ {lua(view)}, {lua(field)}, {lua(value)}, {lua(new)}, {after} }}")
    out.append("{ name = %s, link = %s, bytes = %s, fields = { %s } }" %
               (lua(name), link, string(build()), ",\n".join(rows)))


def eth(i, type_):
    return [("eth", "src", M1, M3, {f"l{i}": {"src": M3}}), ("eth", "dst", M2, M3, {f"l{i}": {"dst": M3}}),
            ("eth", "type", type_, None, None)]


def ip4(i, proto, length):
    rows = []
    for view in ("ip", "ip4"):
        rows += [(view, "version", 4, None, None), (view, "src", S4, N4, {f"l{i}": {"src": N4}}),
                 (view, "dst", D4, N4, {f"l{i}": {"dst": N4}}), (view, "proto", proto, None, None),
                 (view, "ttl", 64, 1, {f"l{i}": {"ttl": 1}}), (view, "dscp", 10, 63, {f"l{i}": {"tos": 0xfe}}),
                 (view, "ecn", 2, 1, {f"l{i}": {"tos": 0x29}}), (view, "len", length, None, None)]
    return rows + [("ip4", "id", 7238, 65535, {f"l{i}": {"id": 65535}}), ("ip4", "df", True, False, {f"l{i}": {"flags": 0}}),
                   ("ip4", "mf", False, None, None), ("ip4", "offset", 0, None, None)]


def ip6(i, proto, length, next_header):
    rows = []
    for view in ("ip", "ip6"):
        rows += [(view, "version", 6, None, None), (view, "src", S6, N6, {f"l{i}": {"src": N6}}),
                 (view, "dst", D6, N6, {f"l{i}": {"dst": N6}}), (view, "proto", proto, None, None),
                 (view, "ttl", 64, 255, {f"l{i}": {"hlim": 255}}), (view, "dscp", 46, 1, {f"l{i}": {"tc": 5}}),
                 (view, "ecn", 1, 3, {f"l{i}": {"tc": 0xbb}}), (view, "len", length, None, None)]
    return rows + [("ip6", "flow_label", 0xabcde, 0x12345, {f"l{i}": {"fl": 0x12345}}),
                   ("ip6", "next_header", next_header, None, None)]


def tcp(i):
    rows = [("tcp", k, SEG[s], n, {f"l{i}": {s: n}}) for k, s, n in (
        ("sport", "sport", 65535), ("dport", "dport", 0), ("seq", "seq", 1), ("ack", "ack", 4294967295),
        ("window", "window", 65535), ("urgent", "urgptr", 65535))]
    rows += [("tcp", "flags", "PA", f, {f"l{i}": {"flags": f}}) for f in ("", "S", "SA", "FSRPAUEC", "R")]
    rows += [("tcp.flags", k, k in ("psh", "ack"), k not in ("psh", "ack"),
              {f"l{i}": {"flags": "".join(sorted(set("PA") ^ {k[0].upper() if k != "cwr" else "C"}))}})
             for k in ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")]
    rows += [("tcp.options", k, v, n, {f"l{i}": {"options": [o if o[0] != s else (s, n) for o in OPTIONS]}})
             for k, s, v, n in (("mss", "MSS", 1460, 536), ("wscale", "WScale", 7, 14))]
    rows += [("tcp.options", "sack_ok", True, None, None)]
    return rows


def udp(i, length):
    return [("udp", "sport", 5353, 65535, {f"l{i}": {"sport": 65535}}), ("udp", "dport", 53, 5300, {f"l{i}": {"dport": 5300}}),
            ("udp", "len", length, None, None)]


def icmp(i, view, type_, cls_type, more=()):
    return [(view, "type", type_, cls_type, {f"l{i}": {"type": cls_type}}), (view, "code", 0, 7, {f"l{i}": {"code": 7}}),
            (view, "id", 0x1234, 65535, {f"l{i}": {"id": 65535}}), (view, "seq", 65535, 0, {f"l{i}": {"seq": 0}})]


RAW = (Raw, TEXT)
case("IPv4 TCP", stack((IP, V4), (TCP, SEG), RAW), "IP", ip4(0, 6, 20 + 40 + 21) + tcp(1))
case("IPv4 UDP", stack((IP, V4), (UDP, DGRAM), RAW), "IP", ip4(0, 17, 49) + udp(1, 29))
case("IPv4 ICMP", stack((IP, V4), (ICMP, dict(type=8, **ECHO)), RAW), "IP", ip4(0, 1, 49) + icmp(1, "icmp", 8, 0))
case("IPv6 TCP", stack((IPv6, V6), (TCP, SEG), RAW), "IP", ip6(0, 6, 40 + 40 + 21, 6) + tcp(1))
case("IPv6 UDP", stack((IPv6, V6), (UDP, DGRAM), RAW), "IP", ip6(0, 17, 40 + 29, 17) + udp(1, 29))
case("IPv6 ICMPv6", stack((IPv6, V6), (ICMPv6EchoRequest, ECHO), RAW), "IP",
     ip6(0, 58, 40 + 29, 58) + icmp(1, "icmp6", 128, 129))
case("IPv6 extension headers", stack((IPv6, V6), *EXT, (UDP, DGRAM), RAW), "IP", ip6(0, 17, 40 + 16 + 29, 0) + udp(3, 29))
case("Ethernet IPv4", stack((Ether, ETH), (IP, V4), (TCP, SEG), RAW), "ETHERNET", eth(0, 0x800) + ip4(1, 6, 81) + tcp(2))
case("Ethernet VLAN IPv6", stack((Ether, ETH), (Dot1Q, dict(vlan=42, prio=5)), (IPv6, V6), (UDP, DGRAM), RAW), "ETHERNET",
     eth(0, 0x86dd) + [("eth", "vlan", 42, 4095, {"l1": {"vlan": 4095}})] + ip6(2, 17, 69, 17) + udp(3, 29))
case("Ethernet QinQ", stack((Ether, dict(type=0x88a8, **ETH)), (Dot1AD, dict(vlan=100)), (Dot1Q, dict(vlan=7)), (IP, V4), (UDP, DGRAM)),
     "ETHERNET", eth(0, 0x800) + [("eth", "vlan", 100, 0, {"l1": {"vlan": 0}})] + ip4(3, 17, 28) + udp(4, 8))
ARP_FIELDS = dict(op=1, hwsrc=M1, psrc=S4, hwdst=M3, pdst=D4)
case("ARP", stack((Ether, ETH), (ARP, ARP_FIELDS)), "ETHERNET", eth(0, 0x806) + [
    ("arp", "op", 1, 2, {"l1": {"op": 2}}), ("arp", "sha", M1, M2, {"l1": {"hwsrc": M2}}),
    ("arp", "spa", S4, N4, {"l1": {"psrc": N4}}), ("arp", "tha", M3, M2, {"l1": {"hwdst": M2}}),
    ("arp", "tpa", D4, N4, {"l1": {"pdst": N4}})])

# TCP options by name, from none to all, and what scapy reads.
options = []
for opts in ([], [("MSS", 1400)], [("SAckOK", b"")], [("WScale", 3)], [("Timestamp", (1, 2))], OPTIONS,
             [("MSS", 9000), ("WScale", 255)], [("SAck", (1, 2))], [("SAck", (1, 2, 4294967295, 0, 5, 6))],
             [("Timestamp", (7, 0)), ("SAck", (10, 20, 30, 40))], [("MSS", 1), ("SAckOK", b""), ("WScale", 0)]):
    names = {}
    for k, v in opts:
        if k == "MSS":
            names["mss"] = str(v)
        elif k == "WScale":
            names["wscale"] = str(v)
        elif k == "SAckOK":
            names["sack_ok"] = "true"
        elif k == "Timestamp":
            names["timestamp"] = "{ val = %d, ecr = %d }" % v
        elif k == "SAck":
            names["sack"] = "{ " + ", ".join("{ %d, %d }" % v[i:i + 2] for i in range(0, len(v), 2)) + " }"
    raw = bytes(IP(**V4) / TCP(**{**SEG, "options": opts}) / Raw(TEXT))
    options.append("{ bytes = %s, options = { %s } }" % (string(raw), ", ".join(f"{k} = {v}" for k, v in names.items())))

print("return { cases = {", ",\n".join(out), "}, options = {", ",\n".join(options), "} }")
