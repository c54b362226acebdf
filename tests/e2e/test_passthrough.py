"""Packets of all kinds pass a script that lets everything pass, byte for byte and in order."""

import pytest

import harness
import packets
import wire

COUNT = 5000


def refused(kind, packet):
    """Whether the packet is one that no such device takes, so that the filter must not write it."""
    if kind == "tap":
        return len(packet) < 14
    return len(packet) < (20 if packet[0] >> 4 == 4 else 40)


@pytest.mark.parametrize("kind", ["tun", "tap"])
def test_5000_packets_pass_unchanged(lab, kind):
    make = packets.many_ip if kind == "tun" else packets.many_ethernet
    sent = make(packets.generator(5000), COUNT)
    half = COUNT // 2
    there, back = sent[:half], sent[half:]
    with lab(harness.ROOT / "scripts/pass.lua", kind=kind) as running:
        for side, source, target, part in (("left", running.left, running.right, there),
                                           ("right", running.right, running.left, back)):
            # A packet that does not arrive would have each window wait for it, so leave these for later.
            fit = [packet for packet in part if not refused(kind, packet)]
            came = wire.move(fit, source, target)
            assert len(came) == len(fit), side
            for number, (expected, got) in enumerate(zip(fit, came)):
                assert got == expected, "%s, packet %d" % (side, number)
            for packet in part:
                if refused(kind, packet):
                    source.send(packet)
            assert target.nothing(0.5)
    assert running.status == 0
    table = running.table()
    assert table["in"] == [len(there), len(back)]
    assert table["in bytes"] == [sum(map(len, there)), sum(map(len, back))]
    assert table["forwarded"] == table["in"]
    assert table["invalid"] == [sum(refused(kind, packet) for packet in part) for part in (there, back)]
    assert table["lost"] == [0, 0] and table["kernel-dropped"] == [0, 0]
    if kind == "tun":
        assert all(table["invalid"])
    assert all(table["malformed"])


def test_the_largest_mtu(lab):
    sent = [bytes([0x45, 0]) + size.to_bytes(2, "big") + bytes(16) + bytes(size - 20)
            for size in (20, 1501, 9001, 40000, 65534, 65535)]
    with lab(harness.PASS, mtu=65535) as running:
        assert wire.move(sent, running.left, running.right) == sent
    assert running.status == 0
