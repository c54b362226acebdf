"""Packets of many kinds, made by scapy from a seed: none is for a host of the lab, so nobody answers."""

import random

from scapy.all import (IP, TCP, UDP, ICMP, ARP, GRE, Dot1AD, Dot1Q, Ether, IPv6, ICMPv6EchoRequest, ICMPv6ND_NS,
                       ICMPv6PacketTooBig, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                       IPv6ExtHdrRouting, IPOption_RR, IPOption_Router_Alert, IPOption_Timestamp, PadN, Raw,
                       RouterAlert, SCTP, fragment, fragment6)

LONGEST = 1492  # bytes of IP: two VLAN tags fit too in what a device with an MTU of 1500 takes


def payload(rng, most=1300):
    size = rng.choice([0, 1, 2, 3, 7, rng.randint(4, 100), rng.randint(100, most)])
    return Raw(rng.randbytes(size)) if size else None


def join(*layers):
    packet = None
    for layer in layers:
        if layer is not None:
            packet = layer if packet is None else packet / layer
    return packet


def ip4(rng, **fields):
    options = rng.choice([[], [], [IPOption_RR(routers=["1.2.3.4"] * rng.randint(1, 4))],
                          [IPOption_Router_Alert()], [IPOption_Timestamp()]])
    return IP(src="198.51.100.%d" % rng.randint(1, 254), dst="203.0.113.%d" % rng.randint(1, 254),
              id=rng.randint(0, 65535), ttl=rng.randint(1, 255), tos=rng.randint(0, 255), options=options,
              **fields)


def ip6(rng, **fields):
    return IPv6(src="2001:db8::%x" % rng.randint(1, 65535), dst="2001:db8:1::%x" % rng.randint(1, 65535),
                hlim=rng.randint(1, 255), fl=rng.randint(0, 0xFFFFF), tc=rng.randint(0, 255), **fields)


def extensions(rng):
    headers = [IPv6ExtHdrHopByHop(options=[RouterAlert(value=1)] if rng.random() < 0.5 else [PadN(optdata=b"\0" * 4)]),
               IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=0), IPv6ExtHdrDestOpt()]
    return [header for header in headers if rng.random() < 0.5]


def transport(rng):
    ports = {"sport": rng.randint(1, 65535), "dport": rng.randint(1, 65535)}
    kind = rng.randrange(3)
    if kind == 0:
        options = rng.choice([[], [("MSS", 1460), ("SAckOK", b""), ("WScale", 7)],
                              [("NOP", None), ("NOP", None), ("Timestamp", (rng.getrandbits(32), 0))]])
        return TCP(seq=rng.getrandbits(32), ack=rng.getrandbits(32), window=rng.getrandbits(16),
                   flags=rng.randint(0, 511), options=options, **ports)
    if kind == 1:
        return UDP(**ports)
    return SCTP(**ports)


def one4(rng):
    upper = rng.choice([transport(rng), transport(rng), transport(rng), GRE(),
                        ICMP(type=rng.choice([0, 8, 3, 11]), id=rng.getrandbits(16), seq=rng.getrandbits(16))])
    return join(ip4(rng), upper, payload(rng))


def one6(rng):
    upper = rng.choice([transport(rng), transport(rng), transport(rng),
                        ICMPv6EchoRequest(id=rng.getrandbits(16), seq=rng.getrandbits(16)),
                        ICMPv6PacketTooBig(mtu=1280)])
    return join(ip6(rng), *extensions(rng), upper, payload(rng))


def fragments4(rng):
    whole = join(ip4(rng), rng.choice([transport(rng), ICMP()]), Raw(rng.randbytes(rng.randint(1600, 6000))))
    return fragment(IP(bytes(whole)), fragsize=rng.choice([512, 1000, 1400]))


def fragments6(rng):
    whole = join(ip6(rng), IPv6ExtHdrFragment(id=rng.getrandbits(32)), UDP(sport=1, dport=2),
                 Raw(rng.randbytes(rng.randint(1600, 6000))))
    return fragment6(whole, LONGEST)


def many_ip(rng, count):
    """count packets for a TUN device, as bytes; every one a version nibble of 4 or 6, and 1 to LONGEST long."""
    packets = []
    while len(packets) < count:
        kind = rng.random()
        if kind < 0.4:
            made = [one4(rng)]
        elif kind < 0.8:
            made = [one6(rng)]
        elif kind < 0.9:
            made = fragments4(rng) if kind < 0.85 else fragments6(rng)
        else:  # one that is cut off, anywhere
            raw = bytes(rng.choice([one4, one6])(rng))
            made = [raw[: rng.randint(1, min(len(raw), 120))]]
        packets += [raw for raw in map(bytes, made) if len(raw) <= LONGEST]
    return packets[:count]


def many_ethernet(rng, count):
    """count frames for a TAP device: IP, ARP and others, with no, one or two VLAN tags."""
    frames = []
    for raw in many_ip(rng, count):
        head = Ether(dst="02:00:00:00:01:%02x" % rng.randint(0, 255), src="02:00:00:00:02:%02x" % rng.randint(0, 255))
        tags = [[], [], [Dot1Q(vlan=rng.randint(0, 4095), prio=rng.randint(0, 7))],
                [Dot1AD(vlan=rng.randint(0, 4095)), Dot1Q(vlan=rng.randint(0, 4095))]][rng.randrange(4)]
        kind = rng.random()
        if kind < 0.1:
            frame = join(head, *tags, ARP(op=rng.choice([1, 2]), psrc="198.51.100.1", pdst="203.0.113.1"))
        elif kind < 0.15:
            head.type = 0x88B5  # for local experiments
            frame = join(head, Raw(rng.randbytes(rng.randint(0, 100))))
        else:
            (tags[-1] if tags else head).type = 0x0800 if raw[0] >> 4 == 4 else 0x86DD
            frame = join(head, *tags, Raw(raw))
        frames.append(bytes(frame))
    # The kernel takes no tag off a frame that has less than 6 bytes behind the addresses' type
    # field, but drops it before a packet socket sees it.
    return [frame if frame[12:14] not in (b"\x81\x00", b"\x88\xa8") else frame.ljust(20, b"\0") for frame in frames]


def generator(seed):
    return random.Random(seed)
