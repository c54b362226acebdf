"""Tables for tf.packet and the bytes that scapy makes of the same values, as Lua: { link, table, bytes }."""
import logging
import random

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import (  # noqa: E402
    ARP, ICMP, IP, TCP, UDP, Dot1Q, Ether, ICMPv6EchoRequest, ICMPv6Unknown, IPv6, Raw)

random.seed(7)
rnd = random.randrange

DEFAULT4 = {"src": "127.0.0.1", "dst": "127.0.0.1"}
DEFAULT6 = {"src": "::1", "dst": "::1"}
DEFAULT_ETH = {"src": "00:00:00:00:00:00", "dst": "ff:ff:ff:ff:ff:ff"}
DEFAULT_ARP = {"hwsrc": "00:00:00:00:00:00", "hwdst": "00:00:00:00:00:00", "psrc": "0.0.0.0", "pdst": "0.0.0.0"}


def string(b):
    return '"' + "".join("\\%03d" % x for x in b) + '"'


def lua(x):
    if isinstance(x, bool):
        return "true" if x else "false"
    if isinstance(x, dict):
        return "{ %s }" % ", ".join("%s = %s" % (k, lua(v)) for k, v in x.items())
    if isinstance(x, list):
        return "{ %s }" % ", ".join(map(lua, x))
    return str(x) if isinstance(x, int) else string(x if isinstance(x, bytes) else x.encode())


def ip4_address():
    return "%d.%d.%d.%d" % tuple(rnd(256) for _ in range(4))


def ip6_address():
    return ":".join("%x" % rnd(65536) for _ in range(8))


def mac():
    return ":".join("%02x" % rnd(256) for _ in range(6))


def u(bits):
    return lambda: rnd(1 << bits)


def some(fields):
    """Some of the fields, with values: ({our name: value}, {scapy's name: value})."""
    ours, theirs = {}, {}
    for name, (scapy_name, make) in fields.items():
        if rnd(3) == 0:
            ours[name] = theirs[scapy_name] = make()
    return ours, theirs


def options():
    """Options in the one order and alignment that tf_tcp_options_write has."""
    ours, theirs = {}, []
    if rnd(2):
        ours["mss"] = rnd(65536)
        theirs.append(("MSS", ours["mss"]))
    sack_ok, timestamp = rnd(2), rnd(2)
    if sack_ok:
        ours["sack_ok"] = True
        theirs += ([] if timestamp else [("NOP", None), ("NOP", None)]) + [("SAckOK", b"")]
    if timestamp:
        ours["timestamp"] = {"val": rnd(1 << 32), "ecr": rnd(1 << 32)}
        theirs += ([] if sack_ok else [("NOP", None), ("NOP", None)])
        theirs.append(("Timestamp", (ours["timestamp"]["val"], ours["timestamp"]["ecr"])))
    if rnd(2):
        ours["wscale"] = rnd(256)
        theirs += [("NOP", None), ("WScale", ours["wscale"])]
    return ours, theirs


def traffic_class(ours):
    value = 0
    if rnd(2):
        ours["dscp"] = rnd(64)
        value = ours["dscp"] << 2
    if rnd(2):
        ours["ecn"] = rnd(4)
        value |= ours["ecn"]
    return value


def make_ip(version):
    """(our name for the header, our fields, scapy's layer)"""
    if version == 4:
        ours, theirs = some({"src": ("src", ip4_address), "dst": ("dst", ip4_address), "ttl": ("ttl", u(8))})
        name = ("ip", "ip4")[rnd(2)]
        theirs["tos"] = traffic_class(ours)
        if name == "ip4":
            more, scapys = some({"id": ("id", u(16))})
            ours.update(more)
            theirs.update(scapys)
            if rnd(2):
                ours["df"] = bool(rnd(2))
                theirs["flags"] = "DF" if ours["df"] else 0
        return name, ours, IP(**{**DEFAULT4, **theirs})
    ours, theirs = some({"src": ("src", ip6_address), "dst": ("dst", ip6_address), "ttl": ("hlim", u(8))})
    name = "ip6" if not {"src", "dst"} & set(ours) else ("ip", "ip6")[rnd(2)]
    theirs["tc"] = traffic_class(ours)
    if name == "ip6" and rnd(2):
        ours["flow_label"] = theirs["fl"] = rnd(1 << 20)
    return name, ours, IPv6(**{"hlim": 64, **DEFAULT6, **theirs})


def make_transport(version):
    kind = rnd(4)
    ports = {"sport": ("sport", u(16)), "dport": ("dport", u(16))}
    if kind == 0:
        ours, theirs = some({**ports, "seq": ("seq", u(32)), "ack": ("ack", u(32)), "window": ("window", u(16)),
                             "urgent": ("urgptr", u(16)),
                             "flags": ("flags", lambda: "".join(random.sample("FSRPAUEC", rnd(9))))})
        if rnd(2):
            ours["options"], theirs["options"] = options()
        return "tcp", ours, TCP(**theirs)
    if kind == 1:
        ours, theirs = some(ports)
        return "udp", ours, UDP(**theirs)
    if kind == 2:
        ours, theirs = some({"code": ("code", u(8)), "id": ("id", u(16)), "seq": ("seq", u(16)),
                             "type": ("type", lambda: (8, 0)[rnd(2)])})
        if version == 4:
            return "icmp", ours, ICMP(**theirs)
        ours.pop("type", None)
        theirs.pop("type", None)
        return "icmp6", ours, ICMPv6EchoRequest(**theirs)
    proto = 99 + rnd(100)
    return None, proto, None


def payload():
    return bytes(rnd(256) for _ in range((0, 1, 2, 3, rnd(64), rnd(1400))[rnd(6)]))


def case():
    ethernet = rnd(2)
    table, layer = {}, None
    if ethernet and rnd(5) == 0:
        ours, theirs = some({"op": ("op", u(16)), "sha": ("hwsrc", mac), "tha": ("hwdst", mac),
                             "spa": ("psrc", ip4_address), "tpa": ("pdst", ip4_address)})
        table["arp"], layer = ours, ARP(**{**DEFAULT_ARP, **theirs})
    else:
        version = (4, 6)[rnd(2)]
        name, ours, layer = make_ip(version)
        transport, fields, upper = make_transport(version)
        if upper is None:
            ours["proto"] = fields
            if version == 4:
                layer.proto = fields
            else:
                layer.nh = fields
        else:
            table[transport] = fields
            layer = layer / upper
        # The version must be known from somewhere.
        if ours or version == 6 and transport != "icmp6" or rnd(2):
            table[name] = ours
        if name == "ip" and "src" not in ours and "dst" not in ours and version == 6:
            ours["version"] = 6
    data = payload()
    if data or rnd(2):
        table["payload"] = data
    if data:
        layer = layer / Raw(data)
    if ethernet:
        ours, theirs = some({"src": ("src", mac), "dst": ("dst", mac)})
        eth = Ether(**{**DEFAULT_ETH, **theirs})
        if "arp" in table:
            sha = table["arp"].get("sha")
            if "src" in ours and sha is None:
                layer[ARP].hwsrc = ours["src"]
            elif sha and "src" not in ours:
                eth.src = sha
        if rnd(3) == 0:
            ours["vlan"] = rnd(4096)
            eth = eth / Dot1Q(vlan=ours["vlan"])
        if ours or rnd(2):
            table["eth"] = ours
        layer = eth / layer
    return "{ link = %s, table = %s, bytes = %s }" % ("ETHERNET" if ethernet else "IP", lua(table), string(bytes(layer)))


def fixed(table, layer, link="IP"):
    return "{ link = %s, table = %s, bytes = %s }" % (link, lua(table), string(bytes(layer)))


IP4, IP6 = IP(**DEFAULT4), IPv6(hlim=64, **DEFAULT6)
ETHER = Ether(**DEFAULT_ETH)
DEFAULTS = [
    fixed({"tcp": {}}, IP4 / TCP()), fixed({"udp": {}}, IP4 / UDP()), fixed({"icmp": {}}, IP4 / ICMP()),
    fixed({"icmp6": {}}, IP6 / ICMPv6EchoRequest()), fixed({"ip4": {}}, IP4), fixed({"ip6": {}}, IP6),
    fixed({"ip": {}}, IP4), fixed({"ip": {"version": 6}, "tcp": {}}, IP6 / TCP()), fixed({"ip6": {}, "udp": {}}, IP6 / UDP()),
    fixed({"arp": {}}, ETHER / ARP(**DEFAULT_ARP), "ETHERNET"),
    fixed({"eth": {}, "payload": b"abc"}, ETHER / Raw(b"abc"), "ETHERNET"),
    fixed({"udp": {}}, ETHER / IP4 / UDP(), "ETHERNET"), fixed({"icmp6": {}}, ETHER / IP6 / ICMPv6EchoRequest(), "ETHERNET"),
    fixed({"udp": {}, "payload": b"x" * 65507}, IP4 / UDP() / Raw(b"x" * 65507)),
    # A sum that comes to 0 is sent as 0xffff.
    fixed({"udp": {}, "payload": b"\x00\x00" + (0xffff).to_bytes(2, "big")}, IP4 / UDP() / Raw(b"\x00\x00\xff\xff")),
]
# What is given stays as it is given.
GIVEN = [
    fixed({"ip4": {"checksum": 0x1234}, "udp": {"checksum": 0}}, IP(chksum=0x1234, **DEFAULT4) / UDP(chksum=0)),
    fixed({"ip": {"len": 1000}, "tcp": {"checksum": 7}, "payload": b"abc"},
          IP(len=1000, **DEFAULT4) / TCP(chksum=7) / Raw(b"abc")),
    fixed({"ip6": {"len": 40 + 1000}, "tcp": {"checksum": 7}}, IPv6(plen=1000, hlim=64, **DEFAULT6) / TCP(chksum=7)),
    fixed({"udp": {"len": 99, "checksum": 65535}}, IP4 / UDP(len=99, chksum=65535)),
    fixed({"ip": {"proto": 99}, "tcp": {"checksum": 9}}, IP(proto=99, **DEFAULT4) / TCP(chksum=9)),
    fixed({"ip6": {"next_header": 0}, "payload": b"\x3b\0\1\4\0\0\0\0"}, IPv6(nh=0, hlim=64, **DEFAULT6) / Raw(b"\x3b\0\1\4\0\0\0\0")),
    fixed({"icmp": {"type": 3, "code": 1, "checksum": 5}}, IP4 / ICMP(type=3, code=1, chksum=5)),
    fixed({"icmp6": {"type": 1, "code": 4, "checksum": 5}}, IP6 / ICMPv6Unknown(type=1, code=4, cksum=5, msgbody=b"\0\0\0\0")),
    fixed({"ip4": {"mf": True, "id": 9, "proto": 17}, "payload": b"12345678"}, IP(flags="MF", id=9, proto=17, **DEFAULT4) / Raw(b"12345678")),
    fixed({"ip4": {"offset": 8, "id": 9, "proto": 17}, "payload": b"123"}, IP(frag=1, id=9, proto=17, **DEFAULT4) / Raw(b"123")),
    fixed({"eth": {"type": 0x88b5}, "ip": {}, "udp": {}}, Ether(type=0x88b5, **DEFAULT_ETH) / IP4 / UDP(), "ETHERNET"),
    fixed({"eth": {"type": 0x88b5, "vlan": 5}, "payload": b"x"}, ETHER / Dot1Q(vlan=5, type=0x88b5) / Raw(b"x"), "ETHERNET"),
]
CASES = [case() for _ in range(1500)]
print("return { right = {", ",\n".join(DEFAULTS + CASES), "}, given = {", ",\n".join(GIVEN), "} }")
