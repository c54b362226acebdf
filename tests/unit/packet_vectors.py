#!/usr/bin/env python3
"""Packets that scapy makes, and what a parse and an edit of them should give.

    packet_vectors.py parse FILE [PROGRAM]     for test_parse FILE
    packet_vectors.py edit FILE [PROGRAM]      for test_edit FILE

Writes FILE and runs PROGRAM on it. The same file every time (fixed seed). Lines of words; bytes are in hex, "-" for none:

    parse LINK BYTES headers network transport payload end proto fragment vlan malformed
    edit WHAT LINK BEFORE AFTER put OFFSET WIDTH VALUE
    edit WHAT LINK BEFORE AFTER write OFFSET BYTES
    edit WHAT LINK BEFORE AFTER payload BYTES
    edit WHAT LINK BEFORE AFTER replace OLD WITH MAX TIMES
"""
import logging
import random
import struct
import subprocess
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.all import (  # noqa: E402
    ARP, ICMP, IP, TCP, UDP, Dot1AD, Dot1Q, Ether, ICMPv6EchoRequest, ICMPv6ND_NS, IPOption_NOP,
    IPOption_RR, IPOption_Router_Alert, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, IPv6ExtHdrSegmentRouting, PadN, Raw, RouterAlert,
    fragment, fragment6)
from scapy.utils import checksum  # noqa: E402

from packet_reading import ARP_BIT, ETH, ICMP6, ICMP_BIT, IP4, IP6, TCP_BIT, UDP_BIT, Reading  # noqa: E402

random.seed(20260)  # scapy draws from it as well
rand = random


def blob(n):
    return rand.randbytes(n)


def ip4_address():
    return "10.%d.%d.%d" % tuple(rand.randrange(256) for _ in range(3))


def ip6_address():
    return "fd00::%x:%x:%x" % tuple(rand.randrange(1, 65536) for _ in range(3))


def payload():
    n = rand.choice((0, 1, 2, 3, rand.randrange(40), rand.randrange(40), rand.randrange(1400)))
    return Raw(blob(n)) if n else None


def upper(version):
    kind = rand.choice(("tcp", "tcp", "udp", "udp", "icmp", "other"))
    if kind == "tcp":
        options = rand.sample([("MSS", 1460), ("NOP", None), ("WScale", 7), ("SAckOK", b""),
                               ("Timestamp", (rand.randrange(1 << 32), 0)), ("SAck", (1, 2))],
                              rand.randrange(5))
        head = TCP(sport=rand.randrange(65536), dport=rand.randrange(65536), options=options,
                   seq=rand.randrange(1 << 32), ack=rand.randrange(1 << 32),
                   flags=rand.randrange(512), window=rand.randrange(65536),
                   urgptr=rand.randrange(65536))
    elif kind == "udp":
        # Not the ports of protocols that scapy would read the payload as.
        head = UDP(sport=rand.randrange(49152, 65536), dport=rand.randrange(49152, 65536))
        if version == 4 and rand.random() < .2:
            head.chksum = 0
    elif kind == "icmp" and version == 4:
        head = ICMP(type=rand.choice((0, 8)), id=rand.randrange(65536), seq=rand.randrange(65536))
    elif kind == "icmp":
        head = rand.choice((ICMPv6EchoRequest(id=rand.randrange(65536), data=blob(7)),
                            ICMPv6ND_NS(tgt=ip6_address())))
        return head
    else:
        return Raw(blob(rand.randrange(1, 60)))
    body = payload()
    return head / body if body else head


def extensions():
    routes = [ip6_address() for _ in range(rand.randrange(1, 4))]
    chain = rand.sample([
        IPv6ExtHdrHopByHop(options=[RouterAlert(), PadN(optdata=blob(rand.randrange(12)))]),
        IPv6ExtHdrDestOpt(options=[PadN(optdata=blob(rand.randrange(20)))]),
        IPv6ExtHdrRouting(addresses=routes, segleft=rand.randrange(len(routes) + 1)),
        IPv6ExtHdrSegmentRouting(addresses=routes, lastentry=len(routes) - 1,
                                 segleft=rand.randrange(len(routes))),
        IPv6ExtHdrFragment(id=rand.randrange(1 << 32)),  # atomic
        IPv6ExtHdrDestOpt(options=[PadN(optdata=b"")]),
    ], rand.choice((0, 0, 1, 2, 3)))
    # One routing header a packet, and hop-by-hop in front.
    while sum(isinstance(h, (IPv6ExtHdrRouting, IPv6ExtHdrSegmentRouting)) for h in chain) > 1:
        chain = chain[1:]
    chain.sort(key=lambda h: not isinstance(h, IPv6ExtHdrHopByHop))
    return chain


def datagram(version=None):
    """A whole one: its layers as a list, so that their lengths are known."""
    version = version or rand.choice((4, 6))
    top = upper(version)
    other = isinstance(top, Raw)
    if version == 4:
        options = rand.choice(([], [], [IPOption_NOP()] * 4, [IPOption_Router_Alert()],
                               [IPOption_NOP(), IPOption_RR(length=11, routers=["1.2.3.4"] * 2)]))
        head = IP(src=ip4_address(), dst=ip4_address(), ttl=rand.randrange(1, 256),
                  id=rand.randrange(65536), tos=rand.randrange(256), flags=rand.choice((0, 2)),
                  options=options)
        if other:
            head.proto = rand.choice((47, 50, 132, 253))
        return [head, top]
    chain = extensions()
    head = IPv6(src=ip6_address(), dst=ip6_address(), hlim=rand.randrange(256),
                tc=rand.randrange(256), fl=rand.randrange(1 << 20))
    if other:
        (chain[-1] if chain else head).nh = rand.choice((47, 50, 59, 253))
    return [head, *chain, top]


def stack(layers):
    packet = layers[0]
    for layer in layers[1:]:
        packet = packet / layer
    return packet


def fragments():
    """The fragments of one datagram."""
    if rand.random() < .5:
        packet = stack([*datagram(4)[:1], UDP(sport=50000, dport=50001), Raw(blob(100))])
        packet[IP].flags = 0
        packet[IP].proto = 17
        return fragment(packet, rand.choice((8, 24, 64)))
    chain = [h for h in extensions() if not isinstance(h, IPv6ExtHdrFragment)]
    packet = stack([IPv6(src=ip6_address(), dst=ip6_address()), *chain, IPv6ExtHdrFragment(),
                    rand.choice((TCP(sport=50000), UDP(sport=50000))), Raw(blob(200))])
    head = 48 + sum(len(bytes(h)) for h in chain)
    return fragment6(packet, head + rand.choice((8, 24, 64)) + 8)


def framed(raw, version):
    """On Ethernet: up to three tags, and padding to 60 bytes."""
    frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    for _ in range(rand.choice((0, 0, 1, 1, 2, 2, 3))):
        frame = frame / rand.choice((Dot1Q, Dot1AD))(vlan=rand.randrange(4096), prio=3)
    frame.lastlayer().type = {4: 0x800, 6: 0x86dd, 0: 0x806}.get(version, version)
    raw = bytes(frame) + raw
    return raw + bytes(60 - len(raw)) if len(raw) < 60 and rand.random() < .7 else raw


def odd_extension(raw):
    """An IPv6 packet with an authentication, mobility, HIP or shim6 header in front."""
    kind = rand.choice((51, 135, 139, 140))
    body = blob(rand.choice((6, 14, 22)))
    words = (len(body) + 2) // 4 - 2 if kind == 51 else (len(body) + 2) // 8 - 1
    header = bytes((raw[6], words)) + body
    length = int.from_bytes(raw[4:6], "big") + len(header)
    return raw[:4] + struct.pack("!HB", length, kind) + raw[7:40] + header + raw[40:]


def arp():
    return bytes(ARP(op=rand.choice((1, 2)), psrc=ip4_address(), pdst=ip4_address()))


def any_packet():
    """(link, bytes)"""
    choice = rand.random()
    if choice < .08:
        return 1, framed(arp(), 0)
    if choice < .12:
        return 1, framed(blob(rand.randrange(60)), rand.choice((0x88cc, 0x0026, 0x9000)))
    if choice < .22:
        raws = [bytes(packet) for packet in fragments()]
        raw = rand.choice(raws)
    elif choice < .27:
        raw = odd_extension(bytes(stack(datagram(6))))
    else:
        layers = datagram()
        raw = bytes(stack(layers))
        check_layers(layers, raw)
    if rand.random() < .5:
        return 0, raw
    return 1, framed(raw, raw[0] >> 4)


def check_layers(layers, raw):
    """Our reading against the lengths of the layers that scapy put together."""
    reading = Reading(raw, 0)
    sizes = [len(bytes(stack(layers[i:]))) for i in range(len(layers))] + [0]
    transport = len(raw) - sizes[-2]
    top = layers[-1]
    head = len(top) - len(top.payload) if isinstance(top, (TCP, UDP, ICMP)) else 0
    if type(top).__name__.startswith("ICMPv6"):
        head = 8
    expected = {"TCP": TCP_BIT, "UDP": UDP_BIT, "ICMP": ICMP_BIT, "Raw": 0}.get(
        type(top).__name__, ICMP6) | (IP4 if isinstance(layers[0], IP) else IP6)
    assert (reading.headers, reading.transport, reading.payload, reading.end) == (
        expected, transport, transport + head, len(raw)), (stack(layers), reading.words())
    assert not reading.malformed and not reading.fragment, stack(layers)
    if not (isinstance(top, UDP) and top.chksum == 0):
        assert reading.fixed() == raw, stack(layers)  # scapy's checksums


def hexed(raw):
    return raw.hex() or "-"


def parse_vectors(out):
    def put(link, raw):
        print("parse", link, hexed(raw), *Reading(raw, link).words(), file=out)

    for i in range(2000):
        link, raw = any_packet()
        put(link, raw)
        if i < 250:
            for n in range(1, min(len(raw), 121)):
                put(link, raw[:n])
        for _ in range(3):
            damaged = bytearray(raw)
            for _ in range(rand.randrange(1, 5)):
                at = rand.randrange(min(len(raw), 90))
                damaged[at] = rand.choice((0, 1, 6, 8, 17, 44, 58, 69, 255))
            put(link, bytes(damaged))


# Edits.

def new_value(width, old):
    return rand.choice((0, (1 << 8 * width) - 1, old ^ 1, rand.randrange(1 << 8 * width)))


class Edits:
    def __init__(self, out):
        self.out = out

    def put(self, what, link, before, after, *words):
        print("edit", what, link, hexed(before), hexed(after), *words, file=self.out)

    def write(self, what, link, before, after, offset, new):
        """As a write of bytes, and where it can be as a put."""
        self.put(what, link, before, after, "write", offset, hexed(new))
        if len(new) in (1, 2, 4):
            self.put(what, link, before, after, "put", offset, len(new),
                     int.from_bytes(new, "big"))


# Fields that scapy knows by name, with their place in the header: a plain edit each.
FIELDS = {
    IP: {"tos": (1, 1), "id": (4, 2), "ttl": (8, 1), "src": (12, 4), "dst": (16, 4)},
    IPv6: {"hlim": (7, 1), "src": (8, 16), "dst": (24, 16)},
    TCP: {"sport": (0, 2), "dport": (2, 2), "seq": (4, 4), "ack": (8, 4), "window": (14, 2),
          "urgptr": (18, 2)},
    UDP: {"sport": (0, 2), "dport": (2, 2)},
    ICMP: {"code": (1, 1), "id": (4, 2), "seq": (6, 2)},
    ICMPv6EchoRequest: {"code": (1, 1), "id": (4, 2), "seq": (6, 2)},
}


def field_edits(edits):
    """Every field: what scapy builds with the new value is what the edit must give."""
    for _ in range(300):
        layers = datagram()
        raw = bytes(stack(layers))
        reading = Reading(raw, 0)
        link, before = (0, raw) if rand.random() < .5 else (1, framed(raw, raw[0] >> 4))
        shift = before.index(raw[:20])
        if Reading(before, link).headers & (IP4 | IP6) == 0:
            continue  # three tags
        for layer, start in ((layers[0], 0), (layers[-1], reading.transport)):
            for name, (offset, width) in FIELDS.get(type(layer), {}).items():
                copies = [item.copy() for item in layers]
                copy = copies[0] if layer is layers[0] else copies[-1]
                if name in ("src", "dst"):
                    setattr(copy, name, ip4_address() if width == 4 else ip6_address())
                else:
                    setattr(copy, name, new_value(width, getattr(layer, name)))
                changed = bytes(stack(copies))
                after = before[:shift] + changed + before[shift + len(raw):]
                at = start + offset
                edits.write(f"{type(layer).__name__}.{name}", link, before, after, shift + at,
                            changed[at:at + width])


def bit_edits(edits):
    """Fields that share bytes with others, written as a script's setters do."""
    for _ in range(300):
        layers = datagram()
        raw = bytes(stack(layers))
        reading = Reading(raw, 0)
        wants = []
        if reading.headers & IP4:
            wants.append(("IP.df", 0, {"flags": layers[0].flags ^ 2}, 6, 2))
        else:
            wants.append(("IPv6.tc", 0, {"tc": rand.randrange(256)}, 0, 2))
            wants.append(("IPv6.fl", 0, {"fl": rand.randrange(1 << 20)}, 0, 4))
        if reading.headers & TCP_BIT:
            wants.append(("TCP.flags", -1, {"flags": rand.randrange(512)}, reading.transport + 12, 2))
            wants.append(("TCP.flags8", -1, {"flags": layers[-1].flags ^ rand.randrange(256)},
                          reading.transport + 13, 1))
        for what, index, values, at, width in wants:
            copies = [item.copy() for item in layers]
            for name, value in values.items():
                setattr(copies[index], name, value)
            changed = bytes(stack(copies))
            edits.write(what, 0, raw, changed, at, changed[at:at + width])


def touches(at, n, field):
    return field is not None and at < field + 2 and at + n > field


def free_edits(edits):
    """Writes of any bytes anywhere, across headers; what they hit decides what follows."""
    done = 0
    while done < 6000:
        if done % 4 == 0:
            link, before = any_packet()
            was = Reading(before, link)
        if was.malformed or (was.headers & ETH and not was.headers & (IP4 | IP6 | ARP_BIT)):
            link, before = any_packet()
            was = Reading(before, link)
            continue
        n = rand.choice((1, 1, 2, 2, 4, 4, 3, 5, 6, 8, 16, 20))
        at = rand.randrange(0, max(1, min(len(before), was.payload + 30) - n))
        if at + n > len(before):
            continue
        new = blob(n)
        if rand.random() < .5:  # few bits, so that the structure often stays
            new = bytearray(before[at:at + n])
            new[rand.randrange(n)] ^= 1 << rand.randrange(8)
        raw = before[:at] + bytes(new) + before[at + n:]
        now = Reading(raw, link)
        ip_field = was.network + 10 if was.headers & IP4 else None
        same_ip = was.headers & now.headers & IP4 and was.network == now.network
        after = now.fixed(ip4=same_ip and not touches(at, n, ip_field), transport=False)
        now = Reading(after, link)
        field = now.transport_field()
        if was.fragment or now.fragment:
            if was.fragment != 1 or now.fragment != 1 or not field:
                if now.fragment == 0 and field:
                    continue  # a fragment that becomes a datagram keeps what it has: unit tests
            elif not touches(at, n, field):
                after = first_fragment(before, after, was, now)
                if after is None:
                    continue
        elif field and not touches(at, n, field):
            if was.headers & UDP_BIT and was.headers & IP6 and before[field:field + 2] == b"\0\0":
                continue
            after = now.fixed(ip4=False)
        edits.write("free", link, before, after, at, bytes(new))
        done += 1


def first_fragment(before, after, was, now):
    """Its checksum moves by what scapy's sum of the covered words moves."""
    if (was.headers, was.transport, was.end, was.destination) != (
            now.headers, now.transport, now.end, now.destination):
        return None

    def covered(raw, reading):
        source = raw[reading.network + 12:reading.network + 16]
        if reading.headers & IP6:
            source = raw[reading.network + 8:reading.network + 24]
        length = raw[reading.transport + 4:reading.transport + 6]
        field = reading.transport_field()
        return (source + raw[reading.destination] + (length if reading.headers & UDP_BIT else b"")
                + raw[reading.transport:field] + raw[field + 2:reading.end])

    field = was.transport_field()
    old, new = checksum(covered(before, was)), checksum(covered(after, now))
    stored = int.from_bytes(before[field:field + 2], "big")
    if was.headers & UDP_BIT and not stored:
        return after
    value = (stored + (new - old)) % 0xffff
    if was.headers & UDP_BIT and not value:
        value = 0xffff
    return after[:field] + struct.pack("!H", value) + after[field + 2:]


def payload_edits(edits):
    """A new payload: scapy builds the packet again."""
    for _ in range(400):
        layers = datagram()
        top = layers[-1]
        if not isinstance(top, (TCP, UDP, ICMP, Raw)):
            continue
        raw = bytes(stack(layers))
        link, before = (0, raw) if rand.random() < .5 else (1, framed(raw, raw[0] >> 4))
        if Reading(before, link).headers & (IP4 | IP6) == 0:
            continue
        shift = before.index(raw[:20])
        new = blob(rand.choice((0, 1, 2, 7, 200, rand.randrange(3000))))
        changed_top = Raw(new) if isinstance(top, Raw) else top.copy()
        if not isinstance(top, Raw):
            changed_top.remove_payload()
            changed_top = changed_top / Raw(new)
        after = before[:shift] + bytes(stack([*layers[:-1], changed_top]))
        edits.put("payload", link, before, after, "payload", hexed(new))
    for _ in range(20):
        raw = arp()
        new = blob(rand.randrange(40))
        before = framed(raw, 0)
        at = before.index(raw) + len(raw)
        if Reading(before, 1).headers & ARP_BIT:
            edits.put("payload", 1, before, before[:at] + new, "payload", hexed(new))
        before = bytes(Ether(type=0x88cc)) + blob(30)
        edits.put("payload", 1, before, before[:14] + new, "payload", hexed(new))


def replace_edits(edits):
    for _ in range(400):
        version = rand.choice((4, 6))
        top = rand.choice((TCP, UDP))(sport=50000, dport=50001)
        chain = [] if version == 4 else extensions()
        head = IP(dst=ip4_address()) if version == 4 else IPv6(dst=ip6_address())
        text = bytes(rand.choice(b"ab") for _ in range(rand.randrange(1, 80)))
        old = bytes(rand.choice(b"ab") for _ in range(rand.randrange(1, 4)))
        new = rand.choice((b"", b"x", b"yy", b"ab", b"aaa", b"longer text"))
        most = rand.choice((0, 0, 1, 2, 5))
        times = text.count(old) if not most else min(most, text.count(old))
        changed = text.replace(old, new, most or -1)
        before = bytes(stack([head, *chain, top, Raw(text)]))
        after = bytes(stack([head, *chain, top] + ([Raw(changed)] if changed else [])))
        edits.put("replace", 0, before, after, "replace", hexed(old), hexed(new), most, times)


def edit_vectors(out):
    edits = Edits(out)
    for step in (field_edits, bit_edits, free_edits, payload_edits, replace_edits):
        step(edits)


def main():
    kinds = {"parse": parse_vectors, "edit": edit_vectors}
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in kinds:
        sys.exit(__doc__)
    with open(sys.argv[2], "w", encoding="ascii") as out:
        kinds[sys.argv[1]](out)
    if len(sys.argv) == 4:
        sys.exit(subprocess.run([sys.argv[3], sys.argv[2]]).returncode)


if __name__ == "__main__":
    main()
