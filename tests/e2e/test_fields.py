"""What a script writes to a packet is what scapy reads on the other side, and tshark finds every checksum right.

One lab a kind of device: packet i meets edit i of one script, and what comes out is compared with what
scapy builds from the same packet and the same change, byte for byte.
"""

import subprocess

import pytest
from scapy.all import (ARP, ICMP, IP, TCP, UDP, Dot1Q, Ether, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt,
                       IPv6ExtHdrHopByHop, IPOption_RR, PadN, Raw, defragment, fragment, in4_chksum, wrpcap)

import harness
import wire

TRANSPORTS = (TCP, UDP, ICMP, ICMPv6EchoRequest)


def lua(value):
    """A Lua literal that stands for the same."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return '"%s"' % "".join("\\%03d" % byte for byte in value)
    return '"%s"' % value if isinstance(value, str) else str(value)


def fresh(packet, transport=True):
    """The packet's bytes with every checksum that scapy knows computed anew."""
    for layer in (IP, *TRANSPORTS) if transport else (IP,):
        if layer in packet:
            packet[layer].delfieldval("cksum" if layer is ICMPv6EchoRequest else "chksum")
    return bytes(packet)


V4 = {"src": "198.51.100.7", "dst": "203.0.113.9"}
V6 = {"src": "2001:db8::7", "dst": "2001:db8:1::9"}
PORTS = {"sport": 1234, "dport": 4321}
EXTENSIONS = IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)]) / IPv6ExtHdrDestOpt()
TCP_OPTIONS = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (77, 0)), ("NOP", None), ("WScale", 7)]
DATA = b"An odd number of bytes, to find wrong padding.."
assert len(DATA) % 2 == 1

IP_BASES = {
    "tcp4": IP(**V4, id=9, tos=0x2B, ttl=61, flags="DF") / TCP(**PORTS, seq=7, ack=8, flags="PA", window=99) / Raw(DATA),
    "tcp4-options": IP(**V4, options=[IPOption_RR(routers=["1.2.3.4"])]) / TCP(**PORTS, options=TCP_OPTIONS) / Raw(DATA),
    "udp4": IP(**V4) / UDP(**PORTS) / Raw(DATA),
    "icmp4": IP(**V4) / ICMP(id=5, seq=6) / Raw(DATA),
    "tcp6": IPv6(**V6, tc=0x2B, fl=0x12345, hlim=61) / TCP(**PORTS, seq=7, ack=8, flags="PA") / Raw(DATA),
    "tcp6-extensions": IPv6(**V6) / EXTENSIONS / TCP(**PORTS, options=TCP_OPTIONS) / Raw(DATA),
    "udp6": IPv6(**V6) / UDP(**PORTS) / Raw(DATA),
    "udp6-extensions": IPv6(**V6) / EXTENSIONS / UDP(**PORTS) / Raw(DATA),
    "icmp6": IPv6(**V6) / ICMPv6EchoRequest(id=5, seq=6, data=DATA),
}
ETH = {"src": "02:00:00:00:02:01", "dst": "02:00:00:00:01:02"}
LINKS = {"": Ether(**ETH), "-vlan": Ether(**ETH) / Dot1Q(vlan=77, prio=3)}

# (header in the script, field, new value, layer, scapy's field, value for scapy if another)
FIELDS = [
    ("eth", "src", "02:00:00:00:00:99", Ether, "src"),
    ("eth", "dst", "02:00:00:00:00:98", Ether, "dst"),
    ("eth", "vlan", 4095, Dot1Q, "vlan"),
    ("arp", "op", 2, ARP, "op"),
    ("arp", "sha", "02:00:00:00:00:97", ARP, "hwsrc"),
    ("arp", "spa", "10.1.2.3", ARP, "psrc"),
    ("arp", "tha", "02:00:00:00:00:96", ARP, "hwdst"),
    ("arp", "tpa", "10.3.2.1", ARP, "pdst"),
    ("ip4", "src", "192.0.2.255", IP, "src"),
    ("ip4", "dst", "255.1.0.254", IP, "dst"),
    ("ip4", "ttl", 1, IP, "ttl"),
    ("ip4", "id", 65535, IP, "id"),
    ("ip6", "src", "2001:db8:ffff::1:2", IPv6, "src"),
    ("ip6", "dst", "2001:db8:ffff::", IPv6, "dst"),
    ("ip6", "ttl", 255, IPv6, "hlim"),
    ("ip6", "flow_label", 0xFEDCB, IPv6, "fl"),
    ("tcp", "sport", 65535, TCP, "sport"),
    ("tcp", "dport", 0, TCP, "dport"),
    ("tcp", "seq", 0xFFFFFFFE, TCP, "seq"),
    ("tcp", "ack", 0x80000001, TCP, "ack"),
    ("tcp", "window", 65535, TCP, "window"),
    ("tcp", "urgent", 513, TCP, "urgptr"),
    ("tcp", "flags", "SFU", TCP, "flags"),
    ("udp", "sport", 53, UDP, "sport"),
    ("udp", "dport", 65535, UDP, "dport"),
    ("icmp", "type", 0, ICMP, "type"),
    ("icmp", "code", 7, ICMP, "code"),
    ("icmp", "id", 65535, ICMP, "id"),
    ("icmp", "seq", 256, ICMP, "seq"),
    ("icmp6", "code", 7, ICMPv6EchoRequest, "code"),
    ("icmp6", "id", 65535, ICMPv6EchoRequest, "id"),
    ("icmp6", "seq", 256, ICMPv6EchoRequest, "seq"),
]
# "ip" is whichever version is there.
FIELDS += [("ip", *rest) for header, *rest in FIELDS if header in ("ip4", "ip6") and rest[0] in ("src", "dst", "ttl")]


class Case:
    """An edit in Lua, the packet that it is done to, and the packet that must come out (or a check of it).

    sums: tshark must find the checksums right; False for those that the script was told to break.
    """

    def __init__(self, name, base, edit, expected, sums=True):
        self.name, self.base, self.edit, self.expected, self.sums = name, base, edit, expected, sums


def field_cases(name, base):
    for header, field, value, layer, attribute in FIELDS:
        packet = Ether(base) if name.startswith("eth-") else (IP if base[0] >> 4 == 4 else IPv6)(base)
        if layer not in packet:
            continue
        old = packet[layer].getfieldval(attribute)
        setattr(packet[layer], attribute, value)
        edit = "same(pkt.%s.%s, %s); pkt.%s.%s = %s; same(pkt.%s.%s, %s)" % (
            header, field, lua(str(old)), header, field, lua(value), header, field, lua(str(packet[layer].getfieldval(attribute))))
        yield Case("%s.%s" % (header, field), base, edit, fresh(packet))


def bit_cases(packet, base):
    """Fields that share bytes with others, and those that change what the packet is."""

    def changed(layer, transport=True, **fields):
        other = packet.copy()
        for field, value in fields.items():
            setattr(other[layer], field, value)
        return fresh(other, transport)

    if IP in packet:
        tos = packet[IP].tos
        yield Case("ip4.dscp", base, "same(pkt.ip4.dscp, %d); pkt.ip4.dscp = 46" % (tos >> 2),
                   changed(IP, tos=46 << 2 | tos & 3))
        yield Case("ip.ecn", base, "same(pkt.ip.ecn, %d); pkt.ip.ecn = 1" % (tos & 3), changed(IP, tos=tos & ~3 | 1))
        yield Case("ip4.df", base, "pkt.ip4.df = not pkt.ip4.df", changed(IP, flags=int(packet[IP].flags) ^ 2))
        yield Case("ip4.mf", base, "same(pkt.ip4.mf, false); pkt.ip4.mf = true",
                   changed(IP, False, flags=int(packet[IP].flags) | 1), sums=False)
        yield Case("ip4.offset", base, "same(pkt.ip4.offset, 0); pkt.ip4.offset = 64; same(pkt.ip4.offset, 64)",
                   changed(IP, False, frag=8), sums=False)
        yield Case("ip4.proto", base, "same(pkt.ip4.proto, %d); pkt.ip4.proto = 253" % packet[IP].proto,
                   changed(IP, False, proto=253), sums=False)
        yield Case("ip4.checksum", base, "pkt.ip4.checksum = 0x1234",
                   base.replace(packet[IP].chksum.to_bytes(2, "big"), b"\x12\x34", 1), sums=False)
    if IPv6 in packet:
        tc = packet[IPv6].tc
        yield Case("ip6.dscp", base, "same(pkt.ip6.dscp, %d); pkt.ip6.dscp = 46" % (tc >> 2),
                   changed(IPv6, tc=46 << 2 | tc & 3))
        yield Case("ip6.ecn", base, "same(pkt.ip.ecn, %d); pkt.ip.ecn = 1" % (tc & 3), changed(IPv6, tc=tc & ~3 | 1))
        last = packet[IPv6ExtHdrDestOpt] if IPv6ExtHdrDestOpt in packet else packet[IPv6]
        yield Case("ip.proto", base, "same(pkt.ip.proto, %d); pkt.ip.proto = 253" % last.nh,
                   changed(type(last), False, nh=253), sums=False)
        yield Case("ip6.next_header", base, "same(pkt.ip6.next_header, %d); pkt.ip6.next_header = 59" % packet[IPv6].nh,
                   changed(IPv6, False, nh=59), sums=False)
    for layer, header in ((TCP, "tcp"), (UDP, "udp"), (ICMP, "icmp"), (ICMPv6EchoRequest, "icmp6")):
        if layer in packet:
            field = "cksum" if layer is ICMPv6EchoRequest else "chksum"
            broken = packet.copy()
            setattr(broken[layer], field, 0x1234)
            old = packet[layer].getfieldval(field)
            yield Case(header + ".checksum", base,
                       "same(pkt.%s.checksum, %d); pkt.%s.checksum = 0x1234" % (header, old, header),
                       bytes(broken), sums=False)
    if TCP in packet:
        for letter, name in zip("FSRPAUEC", "fin syn rst psh ack urg ece cwr".split()):
            flags = int(packet[TCP].flags) ^ 1 << "FSRPAUEC".index(letter)
            yield Case("tcp.flags." + name, base, "pkt.tcp.flags.%s = not pkt.tcp.flags.%s" % (name, name),
                       changed(TCP, flags=flags))
        yield Case("tcp.options", base,
                   "pkt.tcp.options = { mss = 1300, sack_ok = true, timestamp = { val = 5, ecr = 6 } }",
                   tcp_options(packet, {"MSS": 1300, "SAckOK": b"", "Timestamp": (5, 6)}))
        yield Case("no tcp.options", base, "pkt.tcp.options = {}", tcp_options(packet, {}))
    yield Case("ip.version", base, "same(pkt.ip.version, %d)" % (4 if IP in packet else 6), base)


def tcp_options(packet, expected):
    """A check: the packet has these TCP options, is otherwise as it was, and all its lengths are right."""

    def check(raw):
        got = type(packet)(raw)
        assert {name: value for name, value in got[TCP].options if name not in ("NOP", "EOL")} == expected
        again, before = got.copy(), packet.copy()
        for each in (again, before):
            each[TCP].options = []
            each[TCP].delfieldval("dataofs")
            for layer, field in ((IP, "len"), (IPv6, "plen")):
                if layer in each:
                    each[layer].delfieldval(field)
        assert fresh(again) == fresh(before)
        for layer, field in ((IP, "len"), (IPv6, "plen"), (TCP, "dataofs")):
            if layer in got:
                got[layer].delfieldval(field)
        assert fresh(got) == raw

    return check


def payload_cases(packet, base):
    for size in (0, 1, 2, 46, 48, 101, 1200):
        data = bytes((7 * i + size) % 256 for i in range(size))
        yield Case("payload of %d" % size, base,
                   "same(pkt.payload, %s); pkt.payload = %s; same(pkt.payload, %s)" % (lua(DATA), lua(data), lua(data)),
                   with_payload(packet, data))
    yield Case("replace, longer", base, 'same(pkt:replace("e", "eee"), %d)' % DATA.count(b"e"),
               with_payload(packet, DATA.replace(b"e", b"eee")))
    yield Case("replace, shorter, twice", base, 'same(pkt:replace("in", "", 2), 2)',
               with_payload(packet, DATA.replace(b"in", b"", 2)))
    yield Case("grow, then edit a port or an address", base,
               'pkt.payload = ("x"):rep(333); pkt.ip.%s = "%s"' % (("dst", "10.1.1.1") if IP in packet else ("dst", "fd00::1")),
               with_payload(packet, b"x" * 333, dst="10.1.1.1" if IP in packet else "fd00::1"))


def with_payload(packet, data, **fields):
    packet = packet.copy()
    if ICMPv6EchoRequest in packet:
        packet[ICMPv6EchoRequest].data = data
    else:
        last = next(layer for layer in (TCP, UDP, ICMP) if layer in packet)
        packet[last].remove_payload()
        if data:
            packet[last].add_payload(Raw(data))
    for layer, field in ((IP, "len"), (IPv6, "plen"), (UDP, "len")):
        if layer in packet:
            packet[layer].delfieldval(field)
    network = packet[IP] if IP in packet else packet[IPv6]
    for field, value in fields.items():
        setattr(network, field, value)
    return fresh(packet)


def length_cases():
    base = bytes(IP_BASES["tcp4"])
    shorter = fresh(with_length(IP(base[:-5]), len(base) - 5))
    yield Case("ip4.len", base, "same(pkt.ip4.len, %d); pkt.ip4.len = %d" % (len(base), len(base) - 5),
               shorter + base[-5:])
    base = bytes(IP_BASES["tcp6"])
    shorter = IPv6(base[:-5])
    shorter.plen -= 5
    yield Case("ip6.len", base, "same(pkt.ip6.len, %d); pkt.ip6.len = %d" % (len(base), len(base) - 5),
               fresh(shorter) + base[-5:])
    base = bytes(IP_BASES["udp4"])
    packet = IP(base)
    packet[UDP].len -= 6
    packet[UDP].chksum = 0
    segment = bytes(packet[UDP])[: packet[UDP].len]
    packet[UDP].chksum = in4_chksum(17, IP(**V4, len=20 + len(segment)), segment)
    yield Case("udp.len", base, "same(pkt.udp.len, %d); pkt.udp.len = %d" % (8 + len(DATA), 2 + len(DATA)),
               bytes(packet), sums=False)


def with_length(packet, length):
    packet[IP].len = length
    return packet


def special_cases():
    base = bytes(IP_BASES["tcp4"])
    packet = IP(base)
    packet.ttl, packet[TCP].dport = 9, 80
    yield Case("set_u8 and set_u16", base, "pkt:set_u8(8, 9); pkt:set_u16(22, 80)", fresh(packet.copy()))
    packet[TCP].seq = 0xCAFEBABE
    yield Case("set_u32", base, "pkt:set_u8(8, 9); pkt:set_u16(22, 80); pkt:set_u32(24, 0xcafebabe)", fresh(packet))
    packet = IP(base)
    packet.ttl, packet[TCP].dport = 9, 80
    yield Case("raw", base, "pkt.raw = true; pkt.ip.ttl = 9; pkt.tcp.dport = 80", bytes(packet), sums=False)
    packet = IP(base)
    packet.src, packet.dst, packet[TCP].sport, packet[TCP].dport = V4["dst"], V4["src"], 4321, 1234
    yield Case("both addresses and ports", base,
               "pkt.ip.src, pkt.ip.dst = pkt.ip.dst, pkt.ip.src; pkt.tcp.sport, pkt.tcp.dport = pkt.tcp.dport, pkt.tcp.sport",
               fresh(packet))
    packet = IP(bytes(IP_BASES["udp4"]))
    packet[UDP].chksum = 0
    base = bytes(packet)
    packet[UDP].dport = 53
    packet.dst = "10.9.9.9"
    yield Case("a UDP checksum of none stays none", base, 'pkt.udp.dport = 53; pkt.ip.dst = "10.9.9.9"',
               fresh(packet, transport=False), sums=False)


def all_cases(kind):
    cases = []
    bases = {name: bytes(base) for name, base in IP_BASES.items()}
    if kind == "tap":
        bases = {"eth-%s%s" % (name, tag): bytes(link / base)
                 for tag, link in LINKS.items() for name, base in IP_BASES.items()}
        bases["eth-arp"] = bytes(Ether(**ETH) / ARP(hwsrc=ETH["src"], hwdst=ETH["dst"], psrc=V4["src"], pdst=V4["dst"]))
    for name, base in bases.items():
        packet = Ether(base) if kind == "tap" else (IP if base[0] >> 4 == 4 else IPv6)(base)
        made = list(field_cases(name, base))
        if ARP not in packet:
            made += [*bit_cases(packet, base), *payload_cases(packet, base)]
        if kind == "tap":
            ours = packet.copy()
            (ours[Dot1Q] if Dot1Q in ours else ours).type = 0x88B5
            made.append(Case("eth.type", base, "same(pkt.eth.type, %d); pkt.eth.type = 0x88b5" % base_type(packet),
                             bytes(ours), sums=False))
        for case in made:
            case.name = "%s: %s" % (name, case.name)
        cases += made
    if kind == "tun":
        cases += [*length_cases(), *special_cases()]
    return cases


def base_type(packet):
    return (packet[Dot1Q] if Dot1Q in packet else packet).type


CASES = {kind: all_cases(kind) for kind in ("tun", "tap")}

SCRIPT = """local tf = require "tunfilter"

local function same(got, expected)
   if tostring(got) ~= tostring(expected) then
      error(("it is %%s, not %%s"):format(tostring(got), tostring(expected)), 2)
   end
end

local edits = {
%s
}

local n = 0
tf.on_packet(function(pkt)
   n = n + 1
   edits[n](pkt)
end)
"""


@pytest.fixture(scope="module")
def results(session_place):
    """kind -> (packets that came out, in the order of CASES; what the program said)"""
    done = {}

    def run(kind):
        if kind not in done:
            cases = CASES[kind]
            edits = "\n".join("function(pkt) %s end," % case.edit for case in cases)
            with harness.Lab(session_place, SCRIPT % edits, "--on-error", "forward", kind=kind) as lab:
                # One by one: packets of different flows may pass each other.
                came = wire.move([case.base for case in cases], lab.left, lab.right, window=1)
            done[kind] = came, lab.stderr
            assert len(came) == len(cases), lab.stderr
        return done[kind]

    return run


def hex_difference(got, expected):
    return "\ngot      %s\nexpected %s" % (got.hex(), expected.hex())


@pytest.mark.parametrize("kind, number", [(kind, number) for kind, cases in CASES.items() for number in range(len(cases))],
                         ids=["%s %s" % (kind, case.name) for kind, cases in CASES.items() for case in cases])
def test_edit(place, results, kind, number):
    came, stderr = results(kind)
    case = CASES[kind][number]
    if callable(case.expected):
        return case.expected(came[number])
    assert came[number] == case.expected, hex_difference(came[number], case.expected) + "\n" + stderr[:2000]


@pytest.mark.parametrize("kind", CASES)
def test_no_edit_failed(place, results, kind):
    _, stderr = results(kind)
    assert harness.tables(stderr)[-1]["errors"] == [0, 0], stderr


STATUS = ["ip.checksum.status", "tcp.checksum.status", "udp.checksum.status", "icmp.checksum.status",
          "icmpv6.checksum.status"]
BAD, GOOD = "0", "1"


def tshark_statuses(place, packets, linktype):
    """Of each packet, what tshark says of its checksums: a list of words as in STATUS that are there."""
    path = str(place.path / "checked.pcap")
    wrpcap(path, packets, linktype=linktype)
    argv = ["tshark", "-n", "-r", path, "-T", "fields"]
    for protocol in ("ip", "tcp", "udp"):
        argv += ["-o", protocol + ".check_checksum:TRUE"]
    for field in STATUS:
        argv += ["-e", field]
    lines = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
                           env=place.environment(), text=True).stdout.split("\n")[:-1]
    assert len(lines) == len(packets)
    return [[word for word in line.split("\t") if word] for line in lines]


@pytest.mark.parametrize("kind, linktype", [("tun", 101), ("tap", 1)])
def test_tshark_finds_no_bad_checksum(place, results, kind, linktype):
    came, _ = results(kind)
    statuses = tshark_statuses(place, came, linktype)
    good = 0
    for case, words in zip(CASES[kind], statuses):
        if case.sums:
            assert BAD not in words, case.name
            good += words.count(GOOD)
    assert good > len(came)  # it did look: most packets have two
    broken = [case for case, words in zip(CASES[kind], statuses) if case.name.endswith("tcp.checksum") and BAD in words]
    assert broken  # and it would have said so


def right_difference(raw):
    """How far a TCP segment's checksum is from right, in ones' complement."""
    packet = IP(raw)
    right = IP(fresh(packet.copy()))
    return (packet[TCP].chksum - right[TCP].chksum) % 65535


def test_a_wrong_checksum_stays_as_wrong(lab):
    packet = IP(bytes(IP_BASES["tcp4"]))
    packet[TCP].chksum ^= 0x0110
    base = bytes(packet)
    with lab('local tf = require "tunfilter"\n'
             'tf.on_packet(function(pkt) pkt.tcp.dport = 80; pkt.ip.src = "10.0.0.1"; pkt.ip.ttl = 2 end)') as running:
        came = wire.move([base], running.left, running.right)
    assert IP(came[0])[TCP].dport == 80
    assert right_difference(base) != 0
    assert right_difference(came[0]) == right_difference(base)


def test_all_fragments_of_a_datagram_translated(place, lab):
    whole = IP(**V4, id=77) / TCP(**PORTS) / Raw(DATA * 60)
    parts = [bytes(part) for part in fragment(IP(bytes(whole)), fragsize=600)]
    with lab('local tf = require "tunfilter"\n'
             'tf.on_packet(function(pkt)\n'
             '   pkt.ip.dst = "10.9.8.7"\n'
             '   if pkt.tcp then pkt.tcp.dport = 80 end\n'
             'end)') as running:
        came = wire.move(parts, running.left, running.right)
    assert len(came) == len(parts) > 3
    together = defragment([IP(raw) for raw in came])
    assert len(together) == 1
    whole.dst, whole[TCP].dport, whole.id = "10.9.8.7", 80, 77
    assert bytes(together[0][TCP]) == bytes(IP(bytes(whole))[TCP])
    assert tshark_statuses(place, [bytes(together[0])], 101) == [[GOOD, GOOD]]
