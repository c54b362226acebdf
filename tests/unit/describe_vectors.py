"""Compares what tf_packet_describe and tf_packet_hexdump print with what tcpdump prints.

usage: describe_vectors.py DESCRIBE_LINES

Makes packets of every kind that the program knows, with a fixed seed, and compares line by line. A packet's
`kind` says how close the lines have to be; see COMPARE below for all that may differ.
"""

import logging
import os
import random
import re
import struct
import subprocess
import sys
import tempfile

logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.all import (  # noqa: E402
    ARP, ESP, GRE, ICMP, IP, LLC, SCTP, STP, TCP, UDP, ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest,
    ICMPv6MLDone, ICMPv6MLQuery, ICMPv6MLQuery2, ICMPv6MLReport, ICMPv6MLReport2, ICMPv6ND_NA, ICMPv6ND_NS,
    ICMPv6ND_RA, ICMPv6ND_Redirect, ICMPv6ND_RS, ICMPv6NDOptSrcLLAddr, ICMPv6PacketTooBig, ICMPv6ParamProblem,
    ICMPv6TimeExceeded, ICMPv6Unknown, IPOption_NOP, IPOption_RR, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, IPv6ExtHdrSegmentRouting, Raw, fragment, fragment6, wrpcap)

random.seed(20)  # scapy draws from it as well
R = random

RAW, ETHERNET = 101, 1

# How a packet's line (ours) may differ from tcpdump's (theirs), by the packet's kind.
COMPARE = {
    "same": lambda ours, theirs: ours == theirs,
    # tcpdump goes on to the protocol inside TCP; we stop at the length.
    "deeper": lambda ours, theirs: theirs.startswith(ours) and theirs != ours,
    # tcpdump takes the upper layer apart; we name it and say how long it is. What stands before is the same.
    "named": lambda ours, theirs: theirs.startswith(re.sub(NAMED, "", ours)) and re.search(NAMED, ours),
    # The same, but tcpdump writes SCTP's ports into the addresses.
    "sctp": lambda ours, theirs: re.sub(r"\.\d+( > \S+)\.\d+: sctp.*", r"\1: sctp, length 12", theirs) == ours,
    # tcpdump prints what is inside an 802.3 frame, without its addresses.
    "802.3": lambda ours, theirs: re.fullmatch(MAC + " > " + MAC + r", 802\.3, length \d+", ours),
    # tcpdump runs the message's name and "max resp delay" together.
    "listener": lambda ours, theirs: ours == theirs.replace("max resp delay", " max resp delay"),
    # tcpdump has words for Multipath TCP; we show it in hex.
    "mptcp": lambda ours, theirs: re.sub(MPTCP, "", ours) == re.sub(MPTCP, "", theirs) and re.search(MPTCP, ours),
    # tcpdump knows the inverse and the ATM operations of ARP.
    "arp-unknown": lambda ours, theirs: theirs.startswith("ARP, ") and re.fullmatch(r"ARP, Unknown \(\d+\)", ours),
    # tcpdump asks for the secret before it shows a TCP signature.
    "md5": lambda ours, theirs: ours == re.sub("md5 [^-]*-M, can't check - ", "md5 ", theirs),
    # tcpdump stops where an option's length is wrong; we go on to the segment's length.
    "bad-option": lambda ours, theirs: "[bad opt]" in theirs and ours.startswith(theirs),
    # tcpdump reads as many bytes as the option ought to have, and goes on behind those.
    "wrong-length": lambda ours, theirs: re.findall(WRONG, ours) == re.findall(WRONG, theirs) != [],
    # tcpdump stops at a routing header of a type that it does not know.
    "routing": lambda ours, theirs: "unknown type" in theirs and ours.startswith(theirs[:theirs.index(" (unknown")]),
    # tcpdump prints the message in hex in place of its length.
    "unknown-code": lambda ours, theirs: re.sub(r"(code \(\d+\)), length \d+$", r"\1", ours) == theirs,
    # tcpdump lists the routers of an ICMP router advertisement.
    "irdp": lambda ours, theirs: theirs.startswith(ours[:ours.rindex(",")]),
}
NAMED = r"(UDP|IP6?|GRE|OSPF|PIM|VRRP|igmp|sctp|AH), length \d+$"
WRONG = r"(.* options \[\w+).*?(\[len \d+\])"
MAC = "(?:[0-9a-f]{2}:){5}[0-9a-f]{2}"
MPTCP = r"mptcp [^,\]]*"
VLAN = r"vlan (\d+), p (\d)(, DEI)?, "

# Packets cut off or with wrong lengths: our line says "[malformed: …]" and tcpdump complains, each in its own
# words. The addresses are the same where we print them.
COMPLAINT = re.compile(r"\[\||truncated|bad|invalid|missing|unknown ip|version error|wrong link-layer|caplen")
ADDRESSES = re.compile(r"^IP6? ([0-9a-f.:]+ > [0-9a-f.:]+): ")

vectors = {RAW: [], ETHERNET: []}


def add(packet, kind="same"):
    """A packet that begins with IP: by itself, and in a frame, with VLAN tags now and then."""
    data = bytes(packet)
    vectors[RAW].append((kind, data))
    add_frame(0x86dd if data[0] >> 4 == 6 else 0x0800, data, kind)


def add_frame(kind_of, data, kind="same"):
    """A frame of this type, padded as a network card does it, now and then."""
    head = R.randbytes(12)
    for tag_type in R.choice([(), (), (0x8100,), (0x88a8, 0x8100)]):
        head += struct.pack("!HH", tag_type, R.randrange(65536))
    frame = head + struct.pack("!H", kind_of) + bytes(data)
    if kind not in ("malformed", "802.3") and R.random() < 0.5:
        frame = frame.ljust(60, b"\0")
    vectors[ETHERNET].append((kind, frame))


def mac():
    return ":".join("%02x" % R.randrange(256) for _ in range(6))


def port():
    return R.randrange(33000, 65536)


def payload(most=40):
    return Raw(R.randbytes(R.randrange(most)))


def address4():
    return R.choice(["10.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "192.168.%d.%d" % (
        R.randrange(256), R.randrange(256))])


def address6():
    groups = [R.choice([0, 0, 0, R.randrange(65536), R.randrange(256)]) for _ in range(8)]
    plain = ":".join("%x" % group for group in groups)
    return R.choice([plain, plain, "::", "::1", "fe80::1", "ff02::1", "::ffff:1.2.3.4", "::1.2.3.4", "2001:db8::"])


def ip(**fields):
    return IP(src=address4(), dst=address4(), **fields)


def ip6(**fields):
    return IPv6(src=address6(), dst=address6(), **fields)


def either():
    return R.choice([ip, ip6])()


def tcp(**fields):
    values = {"sport": port(), "dport": port(), "seq": R.randrange(2**32), "ack": R.randrange(2**32),
              "window": R.randrange(65536), "urgptr": R.randrange(65536)}
    return TCP(**{**values, **fields})


def option_lists():
    number = lambda: R.randrange(2**32)
    yield [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (number(), number())), ("NOP", None), ("WScale", 7)]
    yield [("NOP", None), ("NOP", None), ("Timestamp", (number(), number()))]
    for blocks in range(1, 4):
        yield [("NOP", None), ("NOP", None), ("SAck", tuple(number() for _ in range(2 * blocks)))]
    yield [("MSS", 536), ("EOL", None)]
    yield [("EOL", None)]
    yield [("UTO", R.randrange(65536))]
    yield [(29, R.randbytes(2))]
    yield [(29, R.randbytes(14)), ("NOP", None)]
    yield [(34, b"")]
    yield [(34, R.randbytes(8))]
    yield [(34, R.randbytes(3))]
    yield [(254, b"\xf9\x89")]
    yield [(254, b"\xf9\x89" + R.randbytes(8))]
    yield [(254, b"\x12\x34\x56")]
    for kind in (9, 10, 14, 15, 77, 200, 253):
        yield [(kind, R.randbytes(R.randrange(8))), ("NOP", None)]


def make_tcp():
    for flags in range(256):
        add(either() / tcp(flags=flags) / payload())
    for _ in range(3):
        for options in option_lists():
            add(either() / tcp(flags=R.randrange(256), options=options) / payload())
    for _ in range(3):
        add(either() / tcp(options=[(19, R.randbytes(16))]), "md5")
        add(either() / tcp(flags="S", options=[(30, b"\0\x81" + R.randbytes(8))]), "mptcp")
    for _ in range(20):
        add(IP(src=address4(), dst=address4(), options=[IPOption_RR(routers=["1.2.3.4"]), IPOption_NOP()])
            / tcp() / payload())
    for options in (b"\x02\x04\x05\xb4\x05\x0b", b"\x01\x08\x00", b"\x02\x01", b"\x01\x05\x01"):
        header = bytearray(bytes(tcp()) + options.ljust(8, options[-1:]))
        header[12] = 7 << 4
        add(ip(proto=6) / Raw(bytes(header)), "bad-option")
    add(either() / tcp(options=[(5, R.randbytes(10))]))
    for kind in (2, 3, 4, 8, 28):
        add(either() / tcp(options=[(kind, R.randbytes(11)), ("NOP", None)]), "wrong-length")
    add(either() / tcp(dport=80, flags="PA") / Raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "deeper")
    add(either() / tcp(sport=25, flags="PA") / Raw(b"220 a\r\n"), "deeper")


def make_udp():
    for _ in range(150):
        add(either() / UDP(sport=port(), dport=port()) / payload(200))
    for _ in range(10):  # bytes behind the UDP length
        add(either() / UDP(sport=port(), dport=port(), len=12) / Raw(R.randbytes(30)))
    add(either() / UDP(sport=port(), dport=53) / Raw(R.randbytes(30)), "named")
    add(either() / UDP(sport=port(), dport=123) / Raw(R.randbytes(48)), "named")


def quoted():
    upper = R.choice([TCP(sport=1, dport=port()), UDP(sport=1, dport=port()), UDP(sport=1, dport=port()),
                      Raw(R.randbytes(8))])
    return ip(proto=R.choice([6, 17, 99]), options=[IPOption_NOP()] * R.choice([0, 4])) / upper


def quoted6():
    extension = R.choice([None, IPv6ExtHdrDestOpt(), IPv6ExtHdrFragment(), IPv6ExtHdrHopByHop()])
    upper = R.choice([TCP(sport=1, dport=port()), UDP(sport=1, dport=port()), ICMPv6EchoRequest()])
    return ip6() / extension / upper if extension else ip6() / upper


def make_icmp():
    for icmp_type in range(256):
        if icmp_type != 9:
            add(ip() / ICMP(bytes([icmp_type, 0, 0, 0]) + R.randbytes(4)) / Raw(R.randbytes(28)))
    add(ip() / ICMP(type=9) / Raw(R.randbytes(28)), "irdp")
    for icmp_type in (3, 5, 11, 12):
        for code in range(20):
            for _ in range(2):
                add(ip() / ICMP(bytes([icmp_type, code, 0, 0]) + R.randbytes(4)) / quoted())
    for upper in (TCP(sport=1, dport=port()), UDP(sport=1, dport=port())):
        add(ip() / ICMP(type=3, code=3) / ip() / upper)
    add(ip() / ICMP(type=3, code=4, nexthopmtu=0) / quoted())
    for _ in range(40):  # quoted packets that are cut off
        message = bytes(ICMP(type=R.choice([3, 5, 11]), code=R.choice([1, 3, 3])) / quoted())
        add(ip(proto=1) / Raw(message[:R.randrange(8, len(message) + 1)]))
    for size in (8, 12, 16, 19):
        add(ip(proto=1) / Raw(bytes(ICMP(type=14))[:size]))
        add(ip(proto=1) / Raw(bytes(ICMP(type=18))[:size]))


def make_icmp6():
    for icmp_type in range(256):
        if icmp_type not in (130, 131, 132, 138, 139, 140, 143, 144, 145, 146, 147, 155, 200, 201):
            add(ip6() / ICMPv6Unknown(type=icmp_type, code=0, msgbody=R.randbytes(60)))
    for code in range(8):
        for message in (ICMPv6DestUnreach, ICMPv6TimeExceeded, ICMPv6ParamProblem):
            for _ in range(6):
                unknown = message is ICMPv6DestUnreach and code > 4
                add(ip6() / message(code=code) / quoted6(), "unknown-code" if unknown else "same")
    behind = bytes([17, 4, 0, 0]) + R.randbytes(20) + bytes(UDP(sport=1, dport=port()))
    later = bytes([17, 0, 1, 0]) + R.randbytes(12)
    for proto, quote in ((51, behind), (44, later)):
        add(ip6() / ICMPv6DestUnreach(code=4) / ip6(nh=proto) / Raw(quote))
    add(ip6() / ICMPv6MLQuery2(sources=[address6()], sources_number=2))
    for _ in range(60):
        message = bytes(R.choice([ICMPv6DestUnreach(code=R.randrange(5)), ICMPv6TimeExceeded(),
                                  ICMPv6ParamProblem(ptr=R.randrange(2**32))]) / quoted6())
        add(ip6(nh=58) / Raw(message[:R.randrange(8, len(message) + 1)]))
    for _ in range(10):
        add(ip6() / ICMPv6PacketTooBig(mtu=R.randrange(2**32)) / quoted6())
        add(ip6() / ICMPv6EchoRequest(id=R.randrange(65536), seq=R.randrange(65536)) / payload())
        add(ip6() / ICMPv6EchoReply(id=R.randrange(65536), seq=R.randrange(65536)) / payload())
        add(ip6() / ICMPv6ND_NS(tgt=address6()) / ICMPv6NDOptSrcLLAddr(lladdr=mac()))
        add(ip6() / ICMPv6ND_NA(tgt=address6()))
        add(ip6() / ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=mac()))
        add(ip6() / ICMPv6ND_RA())
        add(ip6() / ICMPv6ND_Redirect(tgt=address6(), dst=address6()))
        add(ip6() / ICMPv6MLQuery(mladdr=address6(), mrd=R.randrange(65536)), "listener")
        add(ip6() / ICMPv6MLReport(mladdr=address6()), "listener")
        add(ip6() / ICMPv6MLDone(mladdr=address6()), "listener")
        add(ip6() / ICMPv6MLQuery2(mladdr=address6(), sources=[address6() for _ in range(R.randrange(3))]))
        add(ip6() / ICMPv6MLReport2(records_number=R.randrange(5)))


def make_fragments():
    for size in (100, 1500, 3000):
        for part in fragment(ip() / UDP(sport=port(), dport=port()) / Raw(R.randbytes(size)), 400):
            add(part)
        for part in fragment(ip() / tcp() / Raw(R.randbytes(size)), 400):
            add(part)
        for part in fragment(ip() / ICMP() / Raw(R.randbytes(size)), 400):
            add(part)
        for upper in (UDP(sport=port(), dport=port()), tcp(), ICMPv6EchoRequest()):
            for before in (IPv6ExtHdrFragment(), IPv6ExtHdrHopByHop() / IPv6ExtHdrFragment()):
                packet = ip6() / before / upper / Raw(R.randbytes(size))
                for part in fragment6(packet, 400):
                    add(part)
    add(ip6() / IPv6ExtHdrFragment(m=1, nh=59))
    add(ip6() / IPv6ExtHdrFragment(offset=5, nh=17))
    add(ip6() / IPv6ExtHdrFragment() / UDP(sport=port(), dport=port(), len=12) / Raw(R.randbytes(30)))
    for proto in (139, 140):
        add(ip6(nh=proto) / Raw(b"\x11\0" + R.randbytes(6)) / UDP(sport=port(), dport=port()))


def make_extensions():
    headers = [IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt(),
               IPv6ExtHdrRouting(addresses=["fd77::1"]), IPv6ExtHdrRouting(type=2, addresses=["fd77::1", "::"]),
               IPv6ExtHdrRouting(addresses=["::1"], reserved=7, segleft=1),
               IPv6ExtHdrSegmentRouting(addresses=["fd77::1", "fd77::2"], lastentry=1, tag=77),
               IPv6ExtHdrFragment(id=5)]
    uppers = [lambda: tcp(), lambda: UDP(sport=port(), dport=port()), ICMPv6EchoRequest,
              lambda: Raw(R.randbytes(20))]
    for first in headers:
        for upper in uppers:
            add(ip6() / first.copy() / upper() / payload())
            for second in headers[1:]:
                add(ip6() / first.copy() / second.copy() / upper() / payload()
                    if not isinstance(second, type(first)) else ip6() / first.copy() / upper())
    for upper in uppers:
        inner = bytes(ip6() / upper())
        add(ip6(nh=51) / Raw(bytes([inner[6], 4, 0, 0]) + R.randbytes(20) + inner[40:]))
    add(ip6(nh=43) / Raw(bytes([59, 0, 4, 0, 0, 8, 0, 77])))  # segment routing with flags
    add(ip6(nh=43) / Raw(bytes([6, 0, 3, 1]) + R.randbytes(4)) / tcp(), "routing")
    add(ip6(nh=51) / Raw(bytes([59, 1, 0, 9]) + R.randbytes(8)))
    add(ip6(nh=51) / Raw(bytes([59, 0, 0, 0]) + R.randbytes(12)))  # shorter than the header's own fields


def make_others():
    known = {0, 1, 2, 4, 6, 8, 9, 17, 33, 41, 43, 44, 46, 47, 50, 51, 55, 58, 59, 60, 62, 77, 88, 89, 103, 108, 112,
             113, 132, 135, 143}  # to tcpdump
    for proto in range(256):
        if proto not in known:
            add(ip(proto=proto) / payload())
            add(ip6(nh=proto) / Raw(b"\x3b\0" + R.randbytes(14)))
    for _ in range(5):
        add(either() / ESP(spi=R.randrange(2**32), seq=R.randrange(2**32), data=R.randbytes(30)))
        add(ip(proto=59))
        add(ip6(nh=59))
        add(ip() / GRE() / ip(), "named")
        add(ip() / ip() / tcp(), "named")
        add(ip() / ip6() / tcp(), "named")
        add(ip6() / ip6() / tcp(), "named")
        add(ip() / SCTP(sport=port(), dport=port()), "sctp")
        add(ip(proto=2) / Raw(bytes.fromhex("1600") + R.randbytes(6)), "named")
        add(ip(proto=89) / Raw(R.randbytes(24)), "named")
        add(ip(proto=103) / Raw(R.randbytes(24)), "named")
        add(ip(proto=112) / Raw(R.randbytes(24)), "named")


def make_frames():
    for operation in range(12):
        for _ in range(4):
            arp = ARP(op=operation, hwsrc=mac(), psrc=address4(), pdst=address4(),
                      hwdst=R.choice(["00:00:00:00:00:00", mac()]))
            add_frame(0x0806, arp, "arp-unknown" if operation in (8, 9, 10) else "same")
    for kind_of in (0x0601, 0x88b5, 0x88b6, 0x1234, 0xffff):
        for _ in range(4):
            add_frame(kind_of, payload())
    stp = bytes(LLC() / STP())
    add_frame(len(stp), stp, "802.3")


def make_malformed():
    packets = [ip() / tcp(options=[("MSS", 1460)]) / Raw(R.randbytes(30)), ip() / UDP(sport=port(), dport=port())
               / Raw(R.randbytes(20)), ip() / ICMP() / Raw(R.randbytes(20)), ip6() / tcp() / Raw(R.randbytes(9)),
               ip6() / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP(sport=port(), dport=port()),
               ip6() / ICMPv6EchoRequest() / Raw(R.randbytes(9)), ip6() / IPv6ExtHdrFragment() / tcp()]
    for packet in packets:
        data = bytes(packet)
        for size in range(1, len(data)):
            add(data[:size], "malformed")
    arp = bytes(ARP(psrc="1.2.3.4", pdst="1.2.3.5"))
    for size in range(len(arp)):
        add_frame(0x0806, arp[:size], "malformed")
    for size in range(1, 14):
        vectors[ETHERNET].append(("malformed", R.randbytes(size)))
    for size in range(14, 18):
        vectors[ETHERNET].append(("malformed", R.randbytes(12) + b"\x81\0" + R.randbytes(size - 14)))
    for size in range(0, 20):  # the lengths agree, the upper layer is cut off
        add(ip(proto=6) / Raw(bytes(tcp())[:size]), "malformed")
        add(ip6(nh=6) / Raw(bytes(tcp())[:size]), "malformed")
    for size in range(1, 8):
        add(ip(proto=17) / Raw(bytes(UDP(sport=port(), dport=port()))[:size]), "malformed")
    for offset in range(5):
        add(ip() / tcp(dataofs=offset), "malformed")
        add(ip6() / tcp(dataofs=15), "malformed")
    for length in range(8):
        add(ip() / UDP(sport=port(), dport=port(), len=length) / Raw(b"abcd"), "malformed")
    add(ip() / UDP(sport=port(), dport=port(), len=99) / Raw(b"abcd"), "malformed")
    for header in range(5):
        add(IP(src=address4(), dst=address4(), ihl=header) / tcp(), "malformed")
    for version in (0, 1, 3, 5, 7, 15):
        add(bytes([version << 4]) + R.randbytes(40), "malformed")


def split(text):
    """A list a packet: its line, and behind it the lines that begin with a tab."""
    packets = []
    for line in text.splitlines():
        if line.startswith("\t"):
            packets[-1].append(line)
        else:
            packets.append([line])
    return packets


def tcpdump(path, *options):
    result = subprocess.run(["tcpdump", "-n", "-t", "-S", *options, "-r", path], capture_output=True, text=True,
                            env={**os.environ, "LC_ALL": "C"}, check=True)
    return split(result.stdout)


def same(kind, ours, theirs):
    if kind != "malformed":
        return "[malformed" not in ours and COMPARE[kind](ours, theirs)
    if "[malformed: " not in ours:
        return ours == theirs
    addresses = ADDRESSES.match(ours)
    return COMPLAINT.search(theirs) and (not addresses or addresses[1] in theirs)


def compare(program, path, link):
    """Prints the packets whose lines or hexdumps differ, and returns how many there are."""
    wrpcap(path, [data for _, data in vectors[link]], linktype=link)
    ours = subprocess.run([program, path, "-x"], capture_output=True, text=True, check=True).stdout
    ours = split(ours)
    theirs = tcpdump(path)
    dumps = tcpdump(path, "-XX")
    links = tcpdump(path, "-e")
    assert len(ours) == len(theirs) == len(dumps) == len(links) == len(vectors[link])
    failures = 0
    for (kind, data), our, their, dump, with_link in zip(vectors[link], ours, theirs, dumps, links):
        line = re.sub("^(%s)*" % VLAN, "", our[0])
        tags = re.findall(VLAN, our[0]) == re.findall(VLAN, with_link[0]) or kind == "malformed"
        their_line = their[0].rstrip()
        if "ethertype Unknown" in line:
            their_line = their_line.rstrip(":")  # a hexdump follows there
        hexdump = our[1:] == dump[-len(our[1:]):]
        if not tags or not hexdump or not same(kind, line.rstrip(), their_line):
            failures += 1
            print("%s %s\n  ours:    %s\n  tcpdump: %s%s" % (
                kind, data.hex(), our[0], their[0], "" if hexdump else "\n  and the hexdump differs"))
    return failures


def main():
    for make in (make_tcp, make_udp, make_icmp, make_icmp6, make_fragments, make_extensions, make_others,
                 make_frames, make_malformed):
        make()
    with tempfile.TemporaryDirectory() as folder:
        failures = sum(compare(sys.argv[1], os.path.join(folder, "vectors.pcap"), link) for link in vectors)
    print("%d packets, %d differences" % (sum(map(len, vectors.values())), failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
