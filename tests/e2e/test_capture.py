"""--capture: what other programs read in the file, in replay and in a lab, and what happens when it cannot be written."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from scapy.all import IP, UDP, Ether, Raw

import captures
import harness
import test_replay
from captures import ETHERNET, RAW, SLL, USER

SYSTEM = 3
IN, OUT = "0x00000001", "0x00000002"
DROP, PASS, TX = "1", "2", "3"

FIELDS = ["frame.interface_name", "frame.packet_flags_direction", "frame.verdict.ebpf_xdp", "frame.comment", "ip.ttl"]

SORTER = """local tf = require "tunfilter"
tf.on_packet{ name = "sorter", function(pkt)
   local kind = pkt.ip4.id
   if kind == 1 then return tf.drop end
   if kind == 2 then return tf.reply end
   if kind == 3 then error "on purpose" end
   if kind == 4 then pkt.ip.ttl = 4; return tf.forward end
   if kind == 5 then pkt.ip.ttl = 5; return tf.reply end
   if kind == 6 then pkt.ip.ttl = 6; return pkt:hold(0.001) end
   if kind == 7 then tf.send(tf.left, pkt); pkt.ip.ttl = 7; return tf.drop end
   if kind == 8 then pkt.ip.ttl = 8 end
end }
"""

# What SORTER leaves of packets 1 to 9 that come from the left, with a TTL of 64.
SORTED = [
    ["left", IN, DROP, "sorter", "64"],
    ["left", IN, TX, "sorter", "64"],
    ["left", IN, DROP, "error in sorter", "64"],
    ["left", IN, PASS, "sorter", "64"], ["right", OUT, "", "edited", "4"],
    ["left", IN, TX, "sorter", "64"], ["left", OUT, "", "edited", "5"],
    ["left", IN, PASS, "held by sorter", "64"], ["right", OUT, "", "held until now", "6"],
    ["left", OUT, "", "sent by the script", "64"], ["left", IN, DROP, "sorter", "64"],
    ["left", IN, PASS, "", "64"], ["right", OUT, "", "edited", "8"],
    ["left", IN, PASS, "", "64"],
]


def datagram(number, size=10):
    return bytes(IP(src="10.0.0.1", dst="10.0.0.2", id=number) / UDP(sport=9, dport=9) / Raw(b"x" * size))


class TestReplay:
    @pytest.mark.parametrize("linktype", [RAW, ETHERNET, SLL])
    def test_direction_verdict_and_comment(self, place, tmp_path, linktype):
        made = [test_replay.framed(linktype, datagram(number)) for number in range(1, 10)]
        source = captures.write(tmp_path / "in.pcap", made, linktype, step=1)
        noted = tmp_path / "noted.pcapng"
        captures.replay(place, SORTER, source, None, "--capture", noted, errors=True, user=False)
        assert captures.tshark(noted, *FIELDS) == SORTED
        records = captures.read(noted)
        came_in = captures.tshark(noted, "frame.number", only="frame.packet_flags_direction == 1")
        behind = 16 if linktype == SLL else 0
        assert [records[int(number) - 1].data for (number,) in came_in] == [frame[behind:] for frame in made]

    def test_of_several_link_types(self, place, tmp_path):
        source, noted = test_replay.mixed(tmp_path), tmp_path / "noted.pcapng"
        captures.replay(place, harness.PASS, source, None, "--capture", noted, user=False)
        before, after = captures.read(source), captures.read(noted)
        assert len(before) == len(after)
        for one, other in zip(before, after):
            assert one.data.endswith(other.data) and one.stamp == other.stamp
            assert len(one.data) - len(other.data) == (0 if one.interface != 1 else 16)
        sides = {row[0] for row in captures.tshark(noted, "frame.interface_name")}
        assert sides == {"left", "right"}

    def test_of_what_nobody_knows(self, place, tmp_path):
        made = [b"anything", b"at all"]
        source, noted = captures.write(tmp_path / "in.pcap", made, USER), tmp_path / "noted.pcapng"
        captures.replay(place, 'require "tunfilter".on_packet(function(pkt) return require "tunfilter".drop end)',
                        source, None, "--capture", noted, user=False)
        assert captures.raw(noted) == made
        assert {record.encap for record in captures.read(noted)} == {record.encap for record in captures.read(source)}

    def test_snapped_packets_keep_their_length(self, place, tmp_path):
        source = captures.write(tmp_path / "in.pcap", [datagram(8, 500)[:50]], lengths=[528])
        noted = tmp_path / "noted.pcapng"
        captures.replay(place, SORTER, source, None, "--capture", noted, user=False)
        assert [(len(record.data), record.length) for record in captures.read(noted)] == [(50, 528)] * 2

    def test_a_slow_reader_loses_nothing(self, place, tmp_path):
        """Offline there is time: 40 MB through a pipe that is read late."""
        made = [datagram(number, 1400) for number in range(20000)]
        source = captures.write(tmp_path / "in.pcap", made)
        with open(tmp_path / "noted.pcapng", "wb") as noted:
            process = subprocess.Popen([place.program, "replay", place.script(SORTER), source, "--capture", "-"],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=place.environment())
            time.sleep(0.5)
            shutil.copyfileobj(process.stdout, noted)
            said = process.stderr.read().decode()
            assert process.wait() == 0, said
        assert "not in it" not in said
        assert len(captures.raw(tmp_path / "noted.pcapng")) == 20000 + 5


def start(place, rules, command, *options, capture, kind="tun", stdout=subprocess.PIPE):
    """A lab with --capture that runs a command of the shell on the left; its process."""
    place.count += 1
    log = open(place.path / ("stderr%d" % place.count), "wb+")
    argv = [place.program, "lab", place.script(rules), "--left", kind, "--right", kind, "--capture", capture, *options,
            "--", "sh", "-c", command]
    process = subprocess.Popen(harness.ordinary_user(argv), stdin=subprocess.DEVNULL, stdout=stdout, stderr=log,
                               env=place.environment(), cwd=place.path, start_new_session=True)
    process.log = log.name
    log.close()
    return process


def said(process):
    with open(process.log, errors="replace") as log:
        return log.read()


def end(process):
    try:
        return process.wait(harness.DEADLINE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def total_in(process):
    tables = harness.tables(said(process))
    assert tables, said(process)
    harness.check_sums(tables[-1])
    return sum(tables[-1]["in"])


def lost(process):
    match = re.search(r"(\d+) packets are not in it", said(process))
    return int(match[1]) if match else 0


# 28 MB of datagrams that nobody wants: more than what may wait for a reader.
BLAST = """python3 -c '
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(20000):
    s.sendto(bytes(1400), ("10.77.0.2", 9))
    if i % 50 == 0:
        time.sleep(0.002)  # or most of them would not reach the filter
'"""


class TestLab:
    @pytest.mark.parametrize("kind", ["tun", "tap"])
    def test_what_comes_and_goes(self, place, kind):
        noted = place.path / "live.pcapng"
        noted.unlink(missing_ok=True)
        head = Ether(src="02:00:00:00:00:08", dst="02:00:00:00:00:09") if kind == "tap" else None
        with harness.Lab(place, SORTER, "--capture", noted, kind=kind) as lab:
            for number in range(1, 10):
                packet = datagram(number)
                lab.left.send(bytes(head / Raw(packet)) if head else packet)
                time.sleep(0.02)
            lab.right.receive(4)
        assert lab.status == 0
        records, rows = captures.read(noted), captures.tshark(noted, *FIELDS)
        # Raw behind an Ethernet header without its type is no IP to tshark, nor to the script.
        if kind == "tun":
            assert [[row[0].replace(" tun0", ""), *row[1:]] for row in rows] == SORTED
            assert all(abs(record.stamp / 1e9 - time.time()) < 3600 for record in records)
        assert len(records) == sum(lab.table()["in"]) + (5 if kind == "tun" else 0)
        # libpcap reads several interfaces only if they look alike to it.
        shown = subprocess.run(["tcpdump", "-nr", noted], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
        assert shown.stdout.count(b"\n") >= len(records)

    def test_tap_has_arp(self, place):
        noted = place.path / "arp.pcapng"
        noted.unlink(missing_ok=True)
        process = start(place, harness.PASS, "ping -c 2 -i 0.1 right >&2", capture=noted, kind="tap")
        assert end(process) == 0, said(process)
        rows = captures.tshark(noted, "arp.opcode", "icmp.type", "frame.packet_flags_direction")
        assert [row[:2] for row in rows if row[0]][:2] == [["1", ""], ["2", ""]]
        assert sum(row[1] == "8" for row in rows) == 2 and sum(row[1] == "0" for row in rows) == 2
        assert {row[2] for row in rows} == {IN} and len(rows) == total_in(process)

    @pytest.mark.skipif(not shutil.which("dumpcap"), reason="needs dumpcap")
    def test_a_reader_beside_it(self, place):
        """tshark shows packets while the lab runs; the command's own output is not in between."""
        process = start(place, harness.PASS, "sleep 2; ping -c 3 -i 0.1 right; sleep 30", capture="-")
        reader = subprocess.Popen(["tshark", "-n", "-l", "-i", "-", "-T", "fields", "-e", "icmp.type"], stdin=process.stdout,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdout.close()
        try:
            assert [reader.stdout.readline().strip() for _ in range(6)] == ["8", "0"] * 3  # before the lab's end
            assert process.poll() is None
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            _, errors = reader.communicate(timeout=harness.DEADLINE)
        assert reader.returncode == 0, errors
        assert "64 bytes from" in said(process)

    def test_a_late_reader_does_not_stall_the_path(self, place, tmp_path):
        process = start(place, harness.PASS, "ping -c 3 -i 0.1 right; %s; ping -c 5 -i 0.1 right; echo pinged" % BLAST, capture="-")
        harness.wait_until(lambda: "pinged" in said(process), 60, lambda: said(process))
        assert said(process).count(" 0% packet loss") == 2
        with open(tmp_path / "noted.pcapng", "wb") as noted:
            shutil.copyfileobj(process.stdout, noted)
        assert end(process) == 0
        got = len(captures.raw(tmp_path / "noted.pcapng"))
        assert lost(process) > 0 and got > 1000
        assert got + lost(process) == total_in(process)
        process.stdout.close()

    def test_a_reader_that_never_reads(self, place):
        process = start(place, harness.PASS, "%s; ping -c 2 -i 0.1 right" % BLAST, capture="-")
        assert end(process) == 0
        process.stdout.close()
        assert " 0% packet loss" in said(process)
        assert "--capture -: its reader does not read" in said(process) and lost(process) > 5000

    def test_a_reader_that_goes(self, place):
        process = start(place, harness.PASS, "ping -c 5 -i 0.1 right", capture="-")
        process.stdout.close()
        assert end(process) == 0
        text = said(process)
        assert " 0% packet loss" in text
        assert text.count("--capture - cannot be written: broken pipe") == 1
        assert lost(process) == total_in(process) == 10

    def test_a_full_disk(self, place):
        process = start(place, harness.PASS, "ping -c 5 -i 0.1 right >&2", capture="/dev/full")
        assert end(process) == 0
        text = said(process)
        assert " 0% packet loss" in text
        assert text.count("--capture /dev/full cannot be written: no space left on device; nothing more goes to it") == 1
        assert text.index("cannot be written") < text.index("packet loss")  # at once
        assert lost(process) == total_in(process) == 10

    def test_where_nobody_may_write(self, place):
        process = start(place, harness.PASS, "echo it ran", capture="/nowhere/at.pcapng")
        output = process.stdout.read()
        assert end(process) == SYSTEM and b"it ran" not in output
        assert "--capture /nowhere/at.pcapng cannot be written: no such file or directory" in said(process)
        process.stdout.close()
