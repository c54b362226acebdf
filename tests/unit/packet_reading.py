"""A reading of the RFCs by slicing: slow, and in another way than parse.c."""
import re
import struct
from pathlib import Path

from scapy.utils import checksum

HEADER = (Path(__file__).resolve().parents[2] / "src" / "packet.h").read_text()
BAD = {name: code for code, name in enumerate(re.findall(r"^\t(TF_BAD_\w+),", HEADER, re.M), 1)}
ETH, ARP_BIT, IP4, IP6, TCP_BIT, UDP_BIT, ICMP_BIT, ICMP6 = (1 << i for i in range(8))
EXTENSIONS = {0, 43, 44, 51, 60, 135, 139, 140}


class Reading:
    """What is in a packet; every offset from its first byte."""

    def __init__(self, raw, link):
        self.raw = raw
        self.headers = self.vlan = self.proto = self.fragment = self.malformed = 0
        self.network = self.transport = self.payload = 0
        self.end = len(raw)
        self.destination = None  # of the pseudo-header: a slice of the packet
        self.ethernet() if link == 1 else self.ip(None)

    def words(self):
        return (self.headers, self.network, self.transport, self.payload, self.end, self.proto,
                self.fragment, self.vlan, self.malformed)

    def bad(self, name):
        self.malformed = self.malformed or BAD["TF_BAD_" + name]

    def at(self, offset):
        self.transport = self.payload = offset

    def ethernet(self):
        head, tags = 14, []
        while self.raw[head - 2:head] in (b"\x81\x00", b"\x88\xa8") and len(tags) < 2:
            tags.append(self.raw[head:head + 2])
            head += 4
        if len(self.raw) < head:
            return self.bad("ETH_SHORT")
        self.headers |= ETH
        self.vlan = int.from_bytes(tags[0], "big") % 4096 + 1 if tags else 0
        self.network = head
        self.at(head)
        kind = self.raw[head - 2:head]
        if kind == b"\x08\x00":
            self.ip(4)
        elif kind == b"\x86\xdd":
            self.ip(6)
        elif kind == b"\x08\x06":
            body = self.raw[head:]
            known = bytes.fromhex("000108000604")
            if not known.startswith(body[:6]):
                self.bad("ARP_KIND")
            elif len(body) < 28:
                self.bad("ARP_SHORT")
            else:
                self.headers |= ARP_BIT
                self.at(head + 28)

    def ip(self, wanted):
        body = self.raw[self.network:]
        if not body:
            return self.bad("IP_SHORT")
        version = body[0] >> 4
        if version not in (4, 6) or wanted not in (None, version):
            return self.bad("IP_VERSION")
        self.ip4(body) if version == 4 else self.ip6(body)

    def ip4(self, body):
        if len(body) < 20:
            return self.bad("IP_SHORT")
        head = body[0] % 16 * 4
        if not 20 <= head <= len(body):
            return self.bad("IP_HEADER_LEN")
        total, = struct.unpack_from("!H", body, 2)
        if not head <= total <= len(body):
            self.bad("IP_LEN")
            total = max(head, min(total, len(body)))
        self.headers |= IP4
        self.destination = slice(self.network + 16, self.network + 20)
        self.end = self.network + total
        self.at(self.network + head)
        self.proto = body[9]
        flags, = struct.unpack_from("!H", body, 6)
        self.fragment = 2 if flags % 8192 else 1 if flags >> 13 & 1 else 0
        if self.fragment != 2:
            self.upper(ICMP_BIT)

    def ip6(self, body):
        if len(body) < 40:
            return self.bad("IP_SHORT")
        total = 40 + int.from_bytes(body[4:6], "big")
        if total > len(body) or (total == 40 and body[6] == 0):
            self.bad("IP_LEN")
            total = len(body)
        self.headers |= IP6
        header = self.destination = slice(self.network + 24, self.network + 40)
        self.end = self.network + total
        self.proto, rest = body[6], body[40:total]
        while self.proto in EXTENSIONS and self.fragment != 2:
            size = 8
            if self.proto != 44 and len(rest) >= 8:
                size = (rest[1] + 2) * 4 if self.proto == 51 else (rest[1] + 1) * 8
            if len(rest) < size:
                self.bad("IP6_EXTENSION")
                break
            if self.proto == 44:
                word = int.from_bytes(rest[2:4], "big")
                self.fragment = 2 if word >> 3 else word & 1 or self.fragment
            if self.proto == 43 and rest[3] and size >= 24 and self.destination is header:
                here = self.end - len(rest)
                if rest[2] in (0, 2):
                    self.destination = slice(here + size - 16, here + size)
                elif rest[2] == 4:
                    self.destination = slice(here + 8, here + 24)
            self.proto, rest = rest[0], rest[size:]
        self.at(self.end - len(rest))
        if self.fragment != 2:
            self.upper(ICMP6)

    def upper(self, icmp):
        body = self.raw[self.transport:self.end]
        size = 0
        if self.proto == 6:
            if len(body) < 20:
                return self.bad("TCP_SHORT")
            size = body[12] // 16 * 4
            if not 20 <= size <= len(body):
                return self.bad("TCP_OFFSET")
            self.headers |= TCP_BIT
        elif self.proto == 17:
            if len(body) < 8:
                return self.bad("UDP_SHORT")
            size, length = 8, int.from_bytes(body[4:6], "big")
            self.headers |= UDP_BIT
            if length < 8 or (length > len(body) and not self.fragment):
                self.bad("UDP_LEN")
            elif not self.fragment:
                self.end = self.transport + length
        elif self.proto == {ICMP_BIT: 1, ICMP6: 58}[icmp]:
            if len(body) < 8:
                return self.bad("ICMP_SHORT")
            size = 8
            self.headers |= icmp
        self.payload += size

    # What follows is for edits: the checksum fields as they have to be.

    def transport_field(self):
        for bit, offset in ((TCP_BIT, 16), (UDP_BIT, 6), (ICMP_BIT, 2), (ICMP6, 2)):
            if self.headers & bit:
                return self.transport + offset
        return None

    def fixed(self, ip4=True, transport=True):
        """The packet with its checksums computed afresh, by scapy's sum."""
        raw = bytearray(self.raw)
        if ip4 and self.headers & IP4:
            head = slice(self.network, self.network + raw[self.network] % 16 * 4)
            raw[self.network + 10:self.network + 12] = b"\0\0"
            raw[self.network + 10:self.network + 12] = struct.pack("!H", checksum(bytes(raw[head])))
        field = self.transport_field()
        if not transport or not field or self.fragment or self.malformed:
            return bytes(raw)
        if self.headers & UDP_BIT and self.headers & IP4 and raw[field:field + 2] == b"\0\0":
            return bytes(raw)
        raw[field:field + 2] = b"\0\0"
        segment = bytes(raw[self.transport:self.end])
        source = slice(self.network + 12, self.network + 16)
        if self.headers & IP6:
            source = slice(self.network + 8, self.network + 24)
        pseudo = bytes(raw[source] + raw[self.destination])
        pseudo += struct.pack("!II", len(segment), self.proto)
        value = checksum(segment if self.headers & ICMP_BIT else pseudo + segment)
        if self.headers & UDP_BIT and not value:
            value = 0xffff
        raw[field:field + 2] = struct.pack("!H", value)
        return bytes(raw)
