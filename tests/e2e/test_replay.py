"""`tunfilter replay`: captures of every kind go through scripts, and come out as the script left them."""

import os
import pty
import shutil
import signal
import struct
import subprocess
import time
from decimal import Decimal
from pathlib import Path

import pytest
from scapy.error import Scapy_Exception
from scapy.all import ICMP, IP, TCP, UDP, ARP, Ether, IPv6, Raw

import captures
import harness
import packets
from captures import ETHERNET, IPV4, IPV6, LOOP, NULL, PPP, RAW, SLL, SLL2, USER, WIFI

PASS = harness.ROOT / "scripts/pass.lua"
SYSTEM, OPTION = 3, 2
START = 1700000000


def family(packet):
    return 2 if packet[:1] < b"\x60" else 30


def framed(linktype, packet):
    """An IP packet as a capture of this link type has it."""
    ethertype = b"\x08\x00" if packet[:1] < b"\x60" else b"\x86\xdd"
    heads = {
        ETHERNET: b"\2\0\0\0\0\1\2\0\0\0\0\2" + ethertype,
        SLL: b"\0\0\0\1\0\6\2\0\0\0\0\1\0\0" + ethertype,
        SLL2: ethertype + b"\0\0\0\0\0\2\0\1\0\6\2\0\0\0\0\1\0\0",
        NULL: struct.pack("<I", family(packet)),
        LOOP: struct.pack(">I", family(packet)),
        PPP: b"\0\x21" if packet[:1] < b"\x60" else b"\0\x57",
        WIFI: b"\x08\0" + b"\0" * 22 + b"\xaa\xaa\3\0\0\0" + ethertype,
    }
    return heads.get(linktype, b"") + packet


def traffic(seed, count=300, version=None):
    made = packets.many_ip(packets.generator(seed), count)
    return [packet for packet in made if version is None or packet[0] >> 4 == version]


def datagram(number=1, source="10.0.0.1", target="10.0.0.2", size=10, dport=9):
    return bytes(IP(src=source, dst=target, id=number) / UDP(sport=9, dport=dport) / Raw(b"x" * size))


def same(first, second):
    """The same packets, but for the format's own numbers of interfaces."""
    assert len(first) == len(second)
    for one, other in zip(first, second):
        assert one._replace(interface=0) == other._replace(interface=0)


class TestEveryPacketComesOut:
    @pytest.mark.parametrize("linktype", [ETHERNET, RAW, IPV4, IPV6, NULL, LOOP, SLL, SLL2, PPP, WIFI, USER])
    @pytest.mark.parametrize("form", ["<", ">", "nano", "pcapng"])
    def test_of_every_link_type(self, place, tmp_path, linktype, form):
        made = traffic(linktype, 200, {IPV4: 4, IPV6: 6}.get(linktype))
        source = captures.write(tmp_path / "in.pcap", [framed(linktype, packet) for packet in made], linktype,
                                endianness=">" if form == ">" else "<", nano=form == "nano", step="0.000001",
                                lengths=[2000] * 50)
        out = tmp_path / "out.pcap"
        if form == "pcapng":
            subprocess.run(["editcap", "-F", "pcapng", source, tmp_path / "in.pcapng"], check=True)
            source, out = tmp_path / "in.pcapng", tmp_path / "out.pcapng"
            source.chmod(0o644)
        done = captures.replay(place, PASS, source, out, user=False)
        same(captures.read(source), captures.read(out))
        assert source.read_bytes()[:4] == out.read_bytes()[:4]  # byte order and resolution, too
        assert sum(captures.table(done)["in"]) == len(made)

    def test_what_is_behind_an_odd_link_header(self, place, tmp_path):
        """Cooked and loopback packets that are not IP, or too short, are shown as they are, and pass."""
        odd = {
            SLL: [b"\0" * 14 + b"\x08\x06" + b"arp", b"\0" * 16, b"\0" * 15, b"\0" * 14 + b"\0\4" + b"x" * 20],
            SLL2: [b"\x08\x06" + b"\0" * 18 + b"arp", b"\x08\0" + b"\0" * 18, b"\x08"],
            NULL: [b"\7\0\0\0osi", b"\2\0\0\0", b"\2"],
            LOOP: [b"\0\0\0\7osi", b"\0\0\0\2", b"\0\0"],
        }
        rules = """local tf = require "tunfilter"
        tf.on_packet(function(pkt)
           assert(not pkt.ip and not pkt.eth and not pkt.arp)
           tf.log(pkt.len, tostring(pkt), pkt:hexdump())
        end)"""
        for linktype, frames in odd.items():
            source = captures.write(tmp_path / "in.pcap", frames, linktype)
            done = captures.replay(place, rules, source, tmp_path / "out.pcap", "-v", user=False)
            assert captures.raw(tmp_path / "out.pcap") == frames
            assert captures.table(done)["errors"] == [0, 0]
            assert done.stderr.count("forward") >= len(frames)

    def test_odd_lengths(self, place, tmp_path):
        """Empty packets and those beyond what scripts see keep their place; the person hears of it."""
        made = [datagram(1), b"", b"\x45" + b"y" * 65599, b"\x45" + b"z" * 65600, b"", b"\x45", b"w" * 300000, datagram(2)]
        source = captures.write(tmp_path / "in.pcap", made, lengths=[100, 50])
        captures.replay(place, PASS, source, tmp_path / "out.pcap", user=False)
        with open(source, "rb") as one, open(tmp_path / "out.pcap", "rb") as other:
            assert one.read()[24:] == other.read()[24:]
        done = captures.replay(place, PASS, source, None, user=False)
        assert "4 packets, empty or longer than 65600 bytes, were passed on without the script" in done.stderr
        assert sum(captures.table(done)["in"]) == 4

    def test_no_packets(self, place, tmp_path):
        for linktype in (RAW, ETHERNET, WIFI):
            source = captures.write(tmp_path / "in.pcap", [], linktype)
            done = captures.replay(place, PASS, source, tmp_path / "out.pcap", user=False)
            assert source.read_bytes()[20:] == (tmp_path / "out.pcap").read_bytes()[20:]
            assert captures.table(done)["in"] == [0, 0]

    def test_interfaces_with_several_link_types(self, place, tmp_path):
        source, out = mixed(tmp_path), tmp_path / "out.pcapng"
        captures.replay(place, PASS, source, out, user=False)
        assert len({record.encap for record in captures.read(source)}) == 3
        assert captures.read(source) == captures.read(out)

    def test_a_pcap_cannot_hold_several_link_types(self, place, tmp_path):
        source, out = mixed(tmp_path), tmp_path / "out.pcap"
        done = captures.replay(place, PASS, source, out, status=SYSTEM, user=False)
        assert "out.pcap cannot hold the packet at byte" in done.stderr and "name it OUT.pcapng" in done.stderr
        first = captures.read(source)[0]
        assert captures.read(out) == [first]

    def test_names_and_sections(self, place, tmp_path):
        """Two sections, each with a named interface, of different byte orders."""
        def section(order, name, packet):
            def block(kind, body):
                body += b"\0" * (-len(body) % 4)
                return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)

            return (block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)) +
                    block(1, struct.pack(order + "HHIHH4s", RAW, 0, 0, 2, 4, name) + b"\0\0\0\0") +
                    block(6, struct.pack(order + "IIIII", 0, 0, 5, len(packet), len(packet)) + packet))

        source = tmp_path / "in.pcapng"
        source.write_bytes(section("<", b"lan0", datagram(1)) + section(">", b"wan0", datagram(2)))
        out = tmp_path / "out.pcapng"
        captures.replay(place, PASS, source, out, user=False)
        assert captures.raw(out) == [datagram(1), datagram(2)]
        assert captures.tshark(out, "frame.interface_name") == [["lan0"], ["wan0"]]

    def test_standard_input_and_output(self, place, tmp_path):
        source = captures.write(tmp_path / "in.pcap", traffic(3))
        with open(source, "rb") as stdin:
            done = subprocess.run([place.program, "replay", PASS, "-", "-"], stdin=stdin, capture_output=True,
                                  check=True, env=place.environment())
        assert done.stdout == source.read_bytes().replace(struct.pack("<I", 65535), struct.pack("<I", 262144), 1)

    @pytest.mark.skipif(not os.environ.get("TUNFILTER_CAPTURES"), reason="TUNFILTER_CAPTURES names no folder of captures")
    def test_captures_of_others(self, place, tmp_path):
        """Any captures that lie in a folder: what tshark reads without a complaint comes out of the filter alike."""
        count = 0
        for source in sorted(Path(os.environ["TUNFILTER_CAPTURES"]).rglob("*")):
            try:
                before = captures.read(source)
            except (AssertionError, ArithmeticError, OSError, Scapy_Exception, subprocess.CalledProcessError):
                continue  # damaged, no capture, or one with times that are none
            out = tmp_path / ("out.pcapng" if source.read_bytes()[:4] == b"\n\r\r\n" else "out.pcap")
            captures.replay(place, PASS, source, out, user=False)
            after = captures.read(out)
            assert [record[:3] for record in before] == [record[:3] for record in after], source
            count += 1
        print(count, "captures")
        assert count


def mixed(folder):
    """A pcapng of three interfaces: raw, cooked, Ethernet; a second between two packets."""
    parts = []
    for number, linktype in enumerate((RAW, SLL, ETHERNET)):
        made = [framed(linktype, packet) for packet in traffic(number, 30)]
        parts.append(captures.write(folder / ("part%d.pcap" % number), made, linktype, START + number, 3))
    subprocess.run(["mergecap", "-w", folder / "mixed.pcapng", *parts], check=True)
    (folder / "mixed.pcapng").chmod(0o644)
    return folder / "mixed.pcapng"


# Expressions that tcpdump takes for any link type, and some that mean nothing for most.
EXPRESSIONS = ["tcp", "udp and port 53 or icmp", "ip6", "greater 200", "net 203.0.113.0/25", "arp",
               "ether broadcast", "ip[8] > 64", "not ip", "less 60"]


class TestExpressions:
    @pytest.mark.parametrize("linktype", [ETHERNET, RAW, NULL, SLL, SLL2, PPP, WIFI, USER])
    def test_select_what_tcpdump_selects(self, place, tmp_path, linktype):
        made = [framed(linktype, packet) for packet in traffic(9, 200)]
        if linktype == ETHERNET:
            made += [bytes(Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="10.0.0.1", pdst="10.0.0.2"))] * 3
        if linktype == SLL:
            made += [b"\0" * 14 + b"\x08\x06" + bytes(ARP(psrc="10.0.0.1", pdst="10.0.0.2"))] * 3
        source = captures.write(tmp_path / "in.pcap", made, linktype, lengths=[1500] * 20)
        selected = 0
        for expression in EXPRESSIONS:
            theirs = subprocess.run(["tcpdump", "-r", source, "-w", tmp_path / "theirs.pcap", expression],
                                    capture_output=True, check=False).returncode == 0
            rules = """local tf = require "tunfilter"
            tf.on_packet("%s", function() return tf.forward end)
            tf.on_packet(function() return tf.drop end)""" % expression
            captures.replay(place, rules, source, tmp_path / "ours.pcap", user=False)
            expected = captures.raw(tmp_path / "theirs.pcap") if theirs else []
            assert captures.raw(tmp_path / "ours.pcap") == expected, expression
            selected += len(expected)
        assert linktype == USER or selected > 200

    def test_in_a_capture_of_several_link_types(self, place, tmp_path):
        rules = """local tf = require "tunfilter"
        tf.on_packet("tcp", function() return tf.forward end)
        tf.on_packet("ether host 02:00:00:00:00:01", function() return tf.forward end)
        tf.on_packet(function() return tf.drop end)"""
        source, out = mixed(tmp_path), tmp_path / "out.pcapng"
        captures.replay(place, rules, source, out, user=False)
        expected = []
        for number, expression in ((0, "tcp"), (1, "tcp"), (2, "tcp or ether host 02:00:00:00:00:01")):
            part = tmp_path / "selected.pcap"
            subprocess.run(["tcpdump", "-r", tmp_path / ("part%d.pcap" % number), "-w", part, expression],
                           capture_output=True, check=True)
            expected += [(stamp, data) for data, stamp, *_ in captures.read(part)]
        assert sorted(expected) == [(stamp, data) for data, stamp, *_ in captures.read(out)]
        assert len(expected) > 10

    def test_a_broken_one_stops_the_start(self, place, tmp_path):
        source = captures.write(tmp_path / "in.pcap", [datagram()])
        done = captures.replay(place, 'require "tunfilter".on_packet("tcp prot 80", print)', source, None, status=1, user=False)
        assert "bad expression" in done.stderr and "^~~~" in done.stderr


SIDES = 'local tf = require "tunfilter"\ntf.on_packet(function(pkt) tf.log(pkt.from.name, pkt.to.name, pkt.number) end)'


def sides_of(done):
    """"l" or "r" of each packet, as the script saw it."""
    lines = [line.split() for line in done.stderr.splitlines() if "\t" in line]
    assert all({words[1], words[2]} == {"left", "right"} for words in lines)
    return "".join(words[1][0] for words in lines)


class TestSides:
    def test_all_from_the_left(self, place, tmp_path):
        source = captures.write(tmp_path / "in.pcap", [datagram(1), datagram(2, "10.0.0.2", "10.0.0.1")])
        assert sides_of(captures.replay(place, SIDES, source, None, user=False)) == "ll"

    def test_by_the_interface(self, place, tmp_path):
        done = captures.replay(place, SIDES, mixed(tmp_path), None, user=False)
        assert set(sides_of(done)) == {"l", "r"} and sides_of(done).count("l") == 30

    def test_by_networks(self, place, tmp_path):
        def six(source):
            return bytes(IPv6(src=source, dst="2001:db8::99") / UDP())

        made = [(datagram(1, "10.1.2.3"), "l"), (datagram(2, "10.2.2.3"), "r"), (datagram(3, "192.0.2.127"), "l"),
                (datagram(4, "192.0.2.128"), "r"), (datagram(5, "192.0.2.200"), "l"), (six("2001:db8::1"), "l"),
                (six("2001:db9::1"), "r"), (six("fd00:0:0:8000::1"), "l"), (six("fd00:0:0:7fff::1"), "r"),
                (b"\x45", "r"), (datagram(6, "10.9.9.9", "10.1.2.3"), "r")]
        options = []
        for net in ("10.1.0.0/16", "192.0.2.0/25", "192.0.2.200", "2001:db8::/32", "fd00:0:0:8000::/49"):
            options += ["--left-net", net]
        for linktype in (RAW, ETHERNET, SLL, NULL):
            source = captures.write(tmp_path / "in.pcap", [framed(linktype, packet) for packet, _ in made], linktype)
            done = captures.replay(place, SIDES, source, None, *options, user=False)
            assert sides_of(done) == "".join(side for _, side in made)
        frame = bytes(Ether(src="02:00:00:00:00:01") / ARP(psrc="10.1.2.3", pdst="10.9.9.9"))
        source = captures.write(tmp_path / "in.pcap", [frame], ETHERNET)
        assert sides_of(captures.replay(place, SIDES, source, None, *options, user=False)) == "l"

    def test_not_a_network(self, place, tmp_path):
        done = harness.run(place, "replay", PASS, "in.pcap", "--left-net", "10.0.0.0/33")
        assert done.returncode == OPTION and "10.0.0.0/33" in done.stderr


class TestVirtualTime:
    def times(self, out):
        return [(Decimal(record.stamp) / 10**9 - START, record.data) for record in captures.read(out)]

    def test_timers_and_holds_to_the_nanosecond(self, place, tmp_path):
        rules = """local tf = require "tunfilter"
        local tick = tf.packet{ ip = { src = "1.1.1.1", dst = "2.2.2.2" }, udp = {}, payload = "tick" }
        tf.every(0.25, function() tf.send(tf.right, tick) end)
        tf.after(0.123456789, function() tf.send(tf.left, tick) end)
        tf.on_packet(function(pkt)
           if pkt.number == 1 then return pkt:hold(0.6) end
           if pkt.number == 2 then return tf.drop end
        end)
        tf.on_stop(function() tf.log("stopped at", tf.now()) end)"""
        made = [datagram(number) for number in range(1, 4)]
        source = captures.write(tmp_path / "in.pcap", made, step="0.5", nano=True)
        done = captures.replay(place, rules, source, tmp_path / "out.pcap", user=False)
        times = self.times(tmp_path / "out.pcap")
        ticks = [when for when, data in times if data.endswith(b"tick")]
        assert ticks == [Decimal("0.123456789"), Decimal("0.25"), Decimal("0.5"), Decimal("0.75"), 1]
        assert [(when, data) for when, data in times if not data.endswith(b"tick")] == [
            (Decimal("0.6"), made[0]), (1, made[2])]
        assert [when for when, _ in times] == sorted(when for when, _ in times)
        table = captures.table(done)
        assert (table["in"], table["held"], table["dropped"], table["forwarded"]) == ([3, 0], [1, 0], [1, 0], [1, 0])
        assert "stopped at\t1\n" in done.stderr

    def test_what_is_held_at_the_end_comes_out(self, place, tmp_path):
        rules = 'local tf = require "tunfilter"\ntf.on_packet(function(pkt) return pkt:hold(100 - pkt.number) end)'
        made = [datagram(number) for number in range(1, 90)]
        for linktype in (RAW, SLL2, NULL):
            frames = [framed(linktype, packet) for packet in made]
            source = captures.write(tmp_path / "in.pcap", frames, linktype, step=0)
            captures.replay(place, rules, source, tmp_path / "out.pcap", user=False)
            assert self.times(tmp_path / "out.pcap") == [
                (100 - number, frames[number - 1]) for number in range(89, 0, -1)]

    def test_a_capture_that_goes_back_in_time(self, place, tmp_path):
        """The clock of a script never does; packets keep the times that they have."""
        source = tmp_path / "in.pcap"
        parts = [captures.write(tmp_path / ("%d.pcap" % when), [datagram(when)], start=START + when) for when in (5, 3, 9)]
        source.write_bytes(parts[0].read_bytes() + parts[1].read_bytes()[24:] + parts[2].read_bytes()[24:])
        rules = """local tf = require "tunfilter"
        tf.on_packet(function(pkt) tf.log(tf.now()) end)"""
        done = captures.replay(place, rules, source, tmp_path / "out.pcap", user=False)
        assert [when for when, _ in self.times(tmp_path / "out.pcap")] == [5, 3, 9]
        assert [line.split()[1] for line in done.stderr.splitlines() if line[:2].isdigit()] == ["0", "0", "4"]

    def test_v_shows_the_captures_time(self, place, tmp_path):
        rules = """local tf = require "tunfilter"
        tf.after(1.5, function() tf.send(tf.left, tf.packet{ ip = { src = "1.1.1.1", dst = "2.2.2.2" }, udp = {} }) end)
        tf.on_packet(function(pkt) return pkt.number == 1 and pkt:hold(5) or nil end)"""
        source = captures.write(tmp_path / "in.pcap", [datagram(1), datagram(2), datagram(3)], start="1700000000.123456", step=1)
        done = captures.replay(place, rules, source, None, "-v", user=False)
        shown = [line.split() for line in done.stderr.splitlines() if line[:2].isdigit()]
        assert [words[0][-9:] for words in shown] == ["20.123456", "21.123456", "21.623456", "22.123456"]
        assert [("hold" in words, "sent" in words) for words in shown] == [
            (True, False), (False, False), (False, True), (False, False)]


class TestAnswers:
    @pytest.mark.parametrize("linktype", [RAW, NULL, LOOP, SLL, SLL2])
    def test_what_a_script_makes_has_the_link_header(self, place, tmp_path, linktype):
        rules = """local tf = require "tunfilter"
        tf.on_packet("icmp or icmp6", function(pkt)
           pkt.ip.src, pkt.ip.dst = pkt.ip.dst, pkt.ip.src
           return tf.reply
        end)
        tf.on_packet(function(pkt)
           local v6 = pkt.ip6 ~= nil
           tf.send(pkt.from, tf.packet{ ip = { src = pkt.ip.dst, dst = pkt.ip.src }, udp = { sport = 7, dport = 8 } })
           return tf.drop
        end)"""
        ping = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / ICMP())
        six = bytes(IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=1, dport=2))
        made = [framed(linktype, packet) for packet in (ping, datagram(), six)]
        source = captures.write(tmp_path / "in.pcap", made, linktype, step=1)
        done = captures.replay(place, rules, source, tmp_path / "out.pcap", user=False)
        rows = captures.tshark(tmp_path / "out.pcap", "ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "udp.dstport", "frame.time_relative")
        assert [row[:5] for row in rows] == [["10.0.0.2", "", "10.0.0.1", "", ""], ["10.0.0.2", "", "10.0.0.1", "", "8"],
                                            ["", "fd00::2", "", "fd00::1", "8"]]
        assert [float(row[5]) for row in rows] == [0, 1, 2]
        table = captures.table(done)
        assert table["replied"] == [1, 0] and table["dropped"] == [2, 0] and table["sent"] == [0, 2]

    def test_an_edit_keeps_what_the_capture_left_out(self, place, tmp_path):
        rules = """local tf = require "tunfilter"
        tf.on_packet(function(pkt)
           pkt.ip.ttl = 9
           if pkt.number == 2 then pkt.payload = "short" end
        end)"""
        whole = datagram(1, size=1000)
        source = captures.write(tmp_path / "in.pcap", [whole[:60], datagram(2)], lengths=[len(whole)])
        captures.replay(place, rules, source, tmp_path / "out.pcap", user=False)
        first, second = captures.read(tmp_path / "out.pcap")
        assert (len(first.data), first.length, first.data[8]) == (60, len(whole), 9)
        assert second.data[-5:] == b"short" and second.length == len(second.data) == 33

    def test_the_seed(self, place, tmp_path):
        rules = 'local tf = require "tunfilter"\ntf.on_packet(function() return tf.random() < 0.5 and tf.drop or nil end)'
        source = captures.write(tmp_path / "in.pcap", [datagram(number) for number in range(200)])
        outs = []
        for number, seed in enumerate((1, 1, 2)):
            out = tmp_path / ("out%d.pcap" % number)
            captures.replay(place, rules, source, out, "--seed", seed, user=False)
            outs.append(out.read_bytes())
        assert outs[0] == outs[1] != outs[2]


class TestDamage:
    @pytest.mark.parametrize("form", ["pcap", "pcapng"])
    @pytest.mark.parametrize("whole", [0, 1, 100])
    def test_up_to_it_all_is_there(self, place, tmp_path, form, whole):
        source, out, noted = (tmp_path / name for name in ("in." + form, "out." + form, "noted.pcapng"))
        captures.write(tmp_path / "plain.pcap", [datagram(number) for number in range(200)])
        subprocess.run(["editcap", "-F", form, tmp_path / "plain.pcap", source], check=True)
        text = source.read_bytes()
        # Every packet is as long as the others, and the last ones end with the file.
        size = 16 + 38 if form == "pcap" else 32 + 40
        tail = text.find(datagram(199)) - (16 if form == "pcap" else 28) + size - len(text)
        at = len(text) + tail - (200 - whole) * size
        source.write_bytes(text[: at + size - 7])
        done = captures.replay(place, PASS, source, out, "--capture", noted, status=SYSTEM, user=False)
        assert "in.%s is damaged at byte %d: " % (form, at) in done.stderr
        assert captures.raw(out) == [datagram(number) for number in range(whole)]
        assert len(captures.read(noted)) == whole
        assert captures.table(done)["in"] == [whole, 0]

    def test_what_is_held_comes_out_all_the_same(self, place, tmp_path):
        source = captures.write(tmp_path / "in.pcap", [datagram(1), datagram(2)])
        source.write_bytes(source.read_bytes()[:-1])
        rules = 'local tf = require "tunfilter"\ntf.on_packet(function(pkt) return pkt:hold(1) end)'
        captures.replay(place, rules, source, tmp_path / "out.pcap", status=SYSTEM, user=False)
        assert captures.raw(tmp_path / "out.pcap") == [datagram(1)]

    @pytest.mark.parametrize("text,said", [
        (b"", "it is empty"), (b"abc", "too short"), (b"no capture at all", "neither pcap nor pcapng"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "compressed, by gzip"), (b"\xd4\xc3\xb2\xa1\2\0", "damaged at byte 0")])
    def test_no_capture(self, place, tmp_path, text, said):
        (tmp_path / "in.pcap").write_bytes(text)
        done = captures.replay(place, PASS, tmp_path / "in.pcap", tmp_path / "out.pcap", status=SYSTEM, user=False)
        assert said in done.stderr and "in.pcap" in done.stderr
        assert not (tmp_path / "out.pcap").exists()

    def test_no_file(self, place, tmp_path):
        for source in (tmp_path / "none.pcap", tmp_path):
            done = captures.replay(place, PASS, source, None, status=SYSTEM, user=False)
            assert str(source) in done.stderr


class TestOutput:
    @pytest.fixture
    def source(self, tmp_path):
        return captures.write(tmp_path / "in.pcap", [datagram(number, size=1000) for number in range(2000)])

    def test_where_nobody_may_write(self, place, source):
        done = captures.replay(place, PASS, source, "/nowhere/out.pcap", status=SYSTEM, user=False)
        assert "/nowhere/out.pcap cannot be written: no such file or directory" in done.stderr

    def test_a_full_disk(self, place, source):
        done = captures.replay(place, PASS, source, "/dev/full", status=SYSTEM, user=False)
        assert done.stderr.count("/dev/full cannot be written: no space left on device") == 1
        done = captures.replay(place, PASS, source, None, "--capture", "/dev/full", status=SYSTEM, user=False)
        assert done.stderr.count("--capture /dev/full cannot be written: no space left on device") == 1
        assert "2000 packets are not in it" in done.stderr
        assert captures.table(done)["forwarded"] == [2000, 0]

    def test_a_closed_pipe(self, place, source):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([place.program, "replay", PASS, source, "-"], stdout=writer, stderr=subprocess.PIPE,
                              text=True, check=False, env=place.environment())
        os.close(writer)
        assert done.returncode == SYSTEM and done.stderr.count("standard output cannot be written: broken pipe") == 1

    def test_not_over_the_input(self, place, source):
        before = source.read_bytes()
        other = source.with_name("other.pcap")
        other.symlink_to(source)
        for words in ([source], [other], [source.with_name("out.pcap"), "--capture", source],
                      [source.with_name("out.pcap"), "--capture", source.with_name("out.pcap")]):
            done = captures.replay(place, PASS, source, *words, status=OPTION, user=False)
            assert ".pcap" in done.stderr and source.read_bytes() == before


class TestInterrupt:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_what_was_read_is_written(self, place, tmp_path, number):
        """It waits for more from a pipe: Ctrl-C ends it in good order."""
        source = captures.write(tmp_path / "in.pcap", [datagram(number) for number in range(600)])
        out, noted = tmp_path / "out.pcap", tmp_path / "noted.pcapng"
        process = subprocess.Popen([place.program, "replay", place.script(harness.PASS), "-", out, "--capture", noted],
                                   stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=False, env=place.environment())
        process.stdin.write(source.read_bytes())
        process.stdin.flush()
        harness.wait_until(lambda: noted.exists() and noted.stat().st_size > 20000)  # two batches
        process.send_signal(number)
        _, said = process.communicate(timeout=harness.DEADLINE)
        assert process.returncode == 0, said
        assert b"interrupted" in said and b"error:" not in said
        got = captures.raw(out)
        assert 512 <= len(got) <= 600 and got == [datagram(number) for number in range(len(got))]
        assert len(captures.read(noted)) == len(got)
        assert harness.tables(said.decode())[0]["in"] == [len(got), 0]

    def test_in_the_middle_of_work(self, place, tmp_path):
        rules = """local tf = require "tunfilter"
        tf.on_packet(function(pkt)
           local digits = 0
           for i = 1, 10000 do digits = digits + #tostring(i + pkt.number) end
           if digits == 0 then return tf.drop end
        end)"""
        source = captures.write(tmp_path / "in.pcap", [datagram(number) for number in range(5000)])
        out = tmp_path / "out.pcap"
        with harness.Program(place, place.program, "replay", place.script(rules), source, out, user=False) as program:
            program.wait_for("callback")
            time.sleep(0.1)
            program.signal(signal.SIGINT)
            status = program.end()
        assert status == 0 and "interrupted" in program.stderr
        assert len(captures.raw(out)) == program.table()["in"][0] < 5000


SLOW = """local tf = require "tunfilter"
tf.on_packet(function(pkt)
   local digits = 0
   for i = 1, 2000 do digits = digits + #tostring(i + pkt.number) end
   if digits == 0 then return tf.drop end
   if pkt.number == 300 then tf.log("a line of the script's") end
end)"""


class TestProgress:
    def source(self, folder):
        return captures.write(folder / "in.pcap", [datagram(number % 60000) for number in range(4000)])

    def on_terminal(self, place, *argv):
        """Runs in a terminal; what a person would see in the end, and all that was written."""
        pid, fd = pty.fork()
        if pid == 0:
            try:
                os.execve(place.program, [str(word) for word in (place.program, *argv)], place.environment())
            finally:
                os._exit(127)
        text = b""
        while True:
            try:
                got = os.read(fd, 4096)
            except OSError:
                break
            if not got:
                break
            text += got
        os.close(fd)
        assert os.waitpid(pid, 0)[1] == 0, text
        return text.decode()

    def test_a_bar_on_a_terminal(self, place, tmp_path):
        text = self.on_terminal(place, "replay", place.script(SLOW), self.source(tmp_path))
        shown = [int(part.split("%")[0].split()[-1]) for part in text.split("\r\033[K[")[1:]]
        assert shown and shown == sorted(shown) and 0 < shown[-1] <= 100
        lines = text.replace("\r\n", "\n").split("\n")
        assert not any("%" in line.split("\033[K")[-1] for line in lines)  # nothing is left of it
        assert any(line.endswith("a line of the script's") for line in lines)

    def test_none_without(self, place, tmp_path):
        source = self.source(tmp_path)
        assert "%" not in captures.replay(place, SLOW, source, None, user=False).stderr
        for option in ("-q", "-v"):
            assert "\033[K" not in self.on_terminal(place, "replay", place.script(harness.PASS), source, option)


class TestStatistics:
    def test_every_packet_is_in_one_row(self, place, tmp_path):
        rules = """local tf = require "tunfilter"
        tf.on_packet(function(pkt)
           local kind = pkt.ip4.id % 6
           if kind == 1 then return tf.drop end
           if kind == 2 then return tf.reply end
           if kind == 3 then error "on purpose" end
           if kind == 4 then return pkt:hold(0.01) end
           if kind == 5 then tf.send(pkt.to, pkt); return tf.drop end
        end)"""
        made = [datagram(number, "10.0.0.1" if number % 5 else "10.0.0.2", size=number % 50) for number in range(1000)]
        source = captures.write(tmp_path / "in.pcap", made)
        done = captures.replay(place, rules, source, tmp_path / "out.pcap", "--left-net", "10.0.0.1", errors=True, user=False)
        table = captures.table(done)
        rows = {"in": range(6), "forwarded": [0], "dropped": [1, 5], "replied": [2], "errors": [3], "held": [4]}
        for row, kinds in rows.items():
            for side in (0, 1):
                of_row = [packet for number, packet in enumerate(made) if number % 6 in kinds and (number % 5 == 0) == side]
                assert [table[row][side], table[row + " bytes"][side]] == [len(of_row), sum(map(len, of_row))], row
        assert len(captures.raw(tmp_path / "out.pcap")) == sum(sum(table[row]) for row in ("forwarded", "replied", "held", "sent"))

    def test_counters_and_quiet(self, place, tmp_path):
        rules = 'local tf = require "tunfilter"\ntf.on_packet(function() tf.counter("mine"):add(2) end)'
        source = captures.write(tmp_path / "in.pcap", [datagram(1)])
        assert "counter  mine" in captures.replay(place, rules, source, None, user=False).stderr
        assert captures.replay(place, rules, source, None, "-q", user=False).stderr == ""


@pytest.mark.skipif(not shutil.which("dumpcap"), reason="needs dumpcap")
def test_what_dumpcap_writes(place, tmp_path):
    """A real capture, of loopback in a network namespace."""
    made = tmp_path / "made.pcapng"
    script = """ip link set lo up
    dumpcap -q -i lo -w %s -a packets:20 2>/dev/null & sleep 1.5
    ping -q -c 10 -i 0.01 127.0.0.1 >/dev/null; wait""" % made
    done = subprocess.run(["unshare", "-n", "sh", "-c", script] if os.geteuid() == 0 else [*harness.IN_NAMESPACE, "sh", "-c", script],
                          capture_output=True, text=True, check=False, timeout=60)
    if not made.exists():
        pytest.skip("dumpcap may not capture here: " + done.stderr)
    captures.replay(place, PASS, made, tmp_path / "out.pcapng", user=False)
    same(captures.read(made), captures.read(tmp_path / "out.pcapng"))
    assert len(captures.read(made)) == 20
