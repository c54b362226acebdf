"""Compares the packets that tf_expression_match selects with those that tcpdump selects.

usage: expression_vectors.py EXPRESSION_SELECT EXPRESSIONS.txt

Packets of many kinds are made by scapy with a fixed seed, as IP and as Ethernet captures.
"""

import logging
import os
import random
import struct
import subprocess
import sys
import tempfile

logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.all import (  # noqa: E402
    AH, ARP, ESP, GRE, ICMP, IP, LLC, SCTP, STP, TCP, UDP, Dot1AD, Dot1Q, Dot3, Ether, ICMPv6DestUnreach,
    ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, IPOption_RR, IPv6, IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN, Raw, fragment, wrpcap)

random.seed(4711)  # scapy draws from it as well
R = random

RAW, ETHERNET = 101, 1
ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.200.0.4", "192.168.1.1", "172.16.0.9", "224.0.0.251",
             "255.255.255.255"]
ADDRESSES6 = ["fd00::1", "fd00::2", "2001:db8::9", "fe80::1", "ff02::1"]
MACS = ["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:fb"]
PORTS = [53, 80, 123, 443, 1000, 1500, 2000, 2001, 8080, 8443, 40000, 65535]
SIZES = [0, 0, 0, 1, 4, 20, 100, 600, 1300]


def ip():
    options = [IPOption_RR(length=7, pointer=4, routers=["0.0.0.0"])] if R.random() < 0.2 else []
    return IP(src=R.choice(ADDRESSES[:6]), dst=R.choice(ADDRESSES), ttl=R.choice([1, 63, 64, 128, 255]),
              tos=R.choice([0, 0, 0x10, 46 << 2]), flags=R.choice(["", "DF"]), options=options)


def ip6():
    packet = IPv6(src=R.choice(ADDRESSES6[:4]), dst=R.choice(ADDRESSES6), hlim=R.choice([1, 64, 255]))
    extensions = [IPv6ExtHdrHopByHop(options=[PadN()]), IPv6ExtHdrRouting(), IPv6ExtHdrDestOpt(options=[PadN()]),
                  IPv6ExtHdrFragment(offset=0, m=1), IPv6ExtHdrFragment(offset=5)]
    for extension in R.sample(extensions, R.choice([0, 0, 0, 1, 2])):
        packet = packet / extension
    return packet


def upper(version):
    ports = {"sport": R.choice(PORTS), "dport": R.choice(PORTS)}
    payload = Raw(R.choice([bytes, lambda n: b"\1\2\3\4" + R.randbytes(n)])(R.choice(SIZES)))
    tcp = TCP(**ports, flags=R.choice(["S", "SA", "A", "PA", "FA", "R", "RA", ""]),
              options=R.choice([[], [("MSS", 1460)], [("Timestamp", (1, 2))]]))
    pick = R.choice(["tcp", "tcp", "tcp", "udp", "udp", "icmp", "icmp", "other"])
    if pick == "tcp":
        return tcp / payload
    if pick == "udp":
        return UDP(**ports) / payload
    if pick == "icmp" and version == 4:
        return ICMP(type=R.choice([0, 3, 5, 8, 11, 13])) / payload
    if pick == "icmp":
        return R.choice([ICMPv6EchoRequest(), ICMPv6EchoReply(), ICMPv6ND_NS(), ICMPv6ND_NA(),
                         ICMPv6DestUnreach()]) / payload
    return R.choice([SCTP(**ports), GRE(), ESP(spi=1, seq=1), AH(nh=6) / tcp, AH(nh=17) / UDP(**ports)]) / payload


def make_ip():
    """IP packets, whole and cut off, as bytes."""
    packets = []
    for i in range(200):
        packets.append(bytes(ip() / upper(4)))
        packets.append(bytes(ip6() / upper(6)))
    packets += [bytes(IP(src="10.0.0.1", dst="224.0.0.1", proto=2, ttl=1) / Raw(b"\x11\0\xee\xff\0\0\0\0"))]
    for whole in (ip() / UDP(sport=53, dport=80) / Raw(R.randbytes(3000)),
                  IP(dst="10.0.0.2") / TCP(sport=80, dport=8080) / Raw(R.randbytes(900))):
        packets += [bytes(part) for part in fragment(whole, fragsize=640)]
    for cut in R.sample(packets, 80):
        packets.append(cut[:R.randrange(1, len(cut))])
    return packets + [R.randbytes(R.randrange(1, 80)) for _ in range(40)]


def make_ethernet(packets):
    """Frames around them, with tags now and then, and frames that hold other things."""
    frames = []

    def ethernet(kind=None):
        return Ether(src=R.choice(MACS[:3]), dst=R.choice(MACS), **({"type": kind} if kind else {}))

    for packet in packets:
        kind = 0x86dd if packet[0] >> 4 == 6 else 0x0800
        tags = R.choice([None, None, None, Dot1Q(vlan=R.choice([1, 5])),
                         Dot1AD(vlan=5) / Dot1Q(vlan=R.choice([5, 9])), Dot1Q(vlan=5) / Dot1Q(vlan=9)])
        if tags:
            tags.lastlayer().type = kind
        frames.append(bytes(ethernet() / tags / Raw(packet) if tags else ethernet(kind) / Raw(packet)))
    for op in (1, 1, 2, 2, 3):
        frames.append(bytes(ethernet() / ARP(op=op, psrc=R.choice(ADDRESSES), pdst=R.choice(ADDRESSES))))
    frames += [bytes(ethernet(kind) / Raw(R.randbytes(60))) for kind in (0x88cc, 0x8847, 0x8863, 0x8864, 0x1234)]
    frames += [bytes(Dot3(src=MACS[0], dst="01:80:c2:00:00:00") / LLC() / STP()),
               bytes(Dot3(src=MACS[0], dst=MACS[1]) / LLC(dsap=0xaa, ssap=0xaa, ctrl=3) / Raw(b"\0\0\0\x08\0")),
               bytes(Dot3(src=MACS[0], dst=MACS[1]) / LLC(dsap=0xe0, ssap=0xe0, ctrl=3) / Raw(R.randbytes(9)))]
    return frames + [R.randbytes(R.randrange(1, 40)) for _ in range(20)]


def expressions_in(listing):
    with open(listing, encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file if line.strip() and not line.startswith("#")]


def write_capture(path, link, packets):
    """A capture in which a packet's time is its number, from 0."""
    wrpcap(path, [], linktype=link)
    with open(path, "ab") as file:
        for number, data in enumerate(packets):
            file.write(struct.pack("=IIII", number, 0, len(data), len(data)) + data)


def by_tcpdump(path, expression):
    """The numbers of the packets that tcpdump selects from such a capture, or None if it refuses the expression."""
    result = subprocess.run(["tcpdump", "-r", path, "-w", "-", expression], capture_output=True,
                            env={**os.environ, "LC_ALL": "C"}, check=False)
    if result.returncode:
        return None
    picked, at = [], 24
    while at < len(result.stdout):
        seconds, _, size, _ = struct.unpack_from("=IIII", result.stdout, at)
        picked.append(seconds)
        at += 16 + size
    return picked


def main():
    program, listing = sys.argv[1:]
    expressions = expressions_in(listing)
    raw = make_ip()
    captures = {RAW: raw, ETHERNET: make_ethernet(raw)}
    failures, useful = 0, set()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "in.pcap")
        for link, packets in captures.items():
            write_capture(path, link, packets)
            ours = subprocess.run([program, path, listing], capture_output=True, text=True,
                                  check=True).stdout.splitlines()
            assert len(ours) == len(expressions)
            for expression, our in zip(expressions, ours):
                refused = our.startswith("bad expression: ")
                mine = None if refused else [i for i, mark in enumerate(our) if mark == "1"]
                their = by_tcpdump(path, expression)
                if their and len(their) < len(packets):
                    useful.add(expression)
                if mine != their:
                    failures += 1
                    print("%s, link type %d\n  ours:    %s\n  tcpdump: %s" %
                          (expression, link, our if refused else mine, their))
    for expression in expressions:
        if expression not in useful:
            failures += 1
            print("%s: selects all or nothing of the packets here" % expression)
    print("%d expressions, %d packets, %d failures" % (len(expressions), sum(map(len, captures.values())), failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
