"""The numbers that a person sees add up, and lines and tables come when they should; devices come and go."""

import re
import signal
import time

import pytest
from scapy.all import IP, UDP, Ether, Raw

import harness
import wire

SYSTEM = 3

EVERY_VERDICT = """
local tf = require "tunfilter"
tf.on_packet{ name = "sorter", function(pkt)
   local kind = pkt.ip4 and pkt.ip4.id % 5
   if kind == 1 then return tf.drop end
   if kind == 2 then return tf.reply end
   if kind == 3 then error "on purpose" end
   if kind == 4 then tf.send(pkt.to, pkt); tf.send(pkt.from, pkt); return tf.drop end
   return kind == 0 and tf.forward or nil
end }
"""


def datagram(number, size=10):
    return bytes(IP(src="198.51.100.1", dst="203.0.113.1", id=number) / UDP(sport=9, dport=9) / Raw(b"x" * size))


def total(packets):
    return [len(packets), sum(map(len, packets))]


@pytest.mark.parametrize("kind", ["tun", "tap"])
def test_every_packet_is_in_one_row(lab, kind):
    def frame(number, size):
        packet = datagram(number, size)
        return bytes(Ether(dst="02:00:00:00:00:09", src="02:00:00:00:00:08", type=0x800) / Raw(packet)) if kind == "tap" else packet

    there = [frame(number, number % 700) for number in range(503)]
    back = [frame(number, number % 300) for number in range(211)]

    def of_kind(packets, *kinds):
        return [packet for number, packet in enumerate(packets) if number % 5 in kinds]

    with lab(EVERY_VERDICT, kind=kind) as running:
        for packets, source, target in ((there, running.left, running.right), (back, running.right, running.left)):
            for start in range(0, len(packets), 100):
                for packet in packets[start : start + 100]:
                    source.send(packet)
                time.sleep(0.05)
            assert target.receive(len(of_kind(packets, 0, 4))) == of_kind(packets, 0, 4)
            assert source.receive(len(of_kind(packets, 2, 4))) == of_kind(packets, 2, 4)
            assert target.nothing() and source.nothing(0)
    assert running.status == 0
    table = running.table()
    for side, packets, other in ((0, there, back), (1, back, there)):
        for row, kinds in (("in", range(5)), ("forwarded", [0]), ("dropped", [1, 4]), ("replied", [2]), ("errors", [3])):
            assert [table[row][side], table[row + " bytes"][side]] == total(of_kind(packets, *kinds)), row
        # What the script sent towards where this direction leads to, from either side's packets.
        sent = of_kind(packets, 4) + of_kind(other, 4)
        assert [table["sent"][side], table["sent bytes"][side]] == total(sent)
    assert table["lost"] == [0, 0] and table["invalid"] == [0, 0] and table["kernel-dropped"] == [0, 0]
    assert table["callback-errors"] == len(of_kind(there, 3)) + len(of_kind(back, 3))


def test_sigusr1_prints_a_table_and_the_run_goes_on(place):
    with harness.Run(place, harness.PASS) as running:
        assert len(wire.move([datagram(number) for number in range(10)], running.left, running.right)) == 10
        running.signal(signal.SIGUSR1)
        harness.wait_until(lambda: harness.tables(running.stderr))
        assert running.table()["in"] == [10, 0]
        assert len(wire.move([datagram(1)], running.right, running.left)) == 1
    assert running.status == 0
    assert len(harness.tables(running.stderr)) == 2
    assert running.table()["in"] == [10, 1]
    assert running.table()["title"] == ["left", ">", "right", "right", ">", "left"]


def test_a_table_every_so_often(lab):
    with lab(harness.PASS, "--stats", "0.2") as running:
        running.left.send(datagram(1))
        harness.wait_until(lambda: [table["in"] for table in harness.tables(running.stderr)].count([1, 0]) >= 3)
    for table in harness.tables(running.stderr):
        harness.check_sums(table)
    assert running.table()["in"] == [1, 0]
    rates = re.findall(r"^in/s +(\d+)", running.stderr, re.M)[:-1]  # each of its own time
    assert len(rates) >= 3 and len([rate for rate in rates if rate != "0"]) == 1, rates


@pytest.mark.parametrize("number, options", [(signal.SIGINT, []), (signal.SIGTERM, []), (signal.SIGHUP, ["--no-reload"])])
def test_a_signal_ends_the_run_with_status_0_and_the_table(place, number, options):
    with harness.Run(place, harness.PASS, *options) as running:
        running.wait_for("callback")
        running.signal(number)
        running.wire.wait()
    assert running.status == 0
    assert running.table()["in"] == [0, 0]


def test_a_run_in_a_shells_background_hears_sigint(place):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as "tunfilter rules.lua &" in a script has it
    try:
        with harness.Run(place, harness.PASS) as running:
            running.wait_for("callback")
            running.signal(signal.SIGINT)
            running.wire.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    assert running.status == 0


def ended(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_more_signals_do_not_cut_the_end_short(place):
    for _ in range(5):
        with harness.Run(place, harness.PASS) as running:
            running.wait_for("callback")
            while not ended(running.pid):
                running.signal(signal.SIGINT)
            running.wire.wait()
        assert running.status == 0
        assert running.table()["in"] == [0, 0]


def test_start_lines_say_what_is_joined_and_which_callbacks_there_are(place):
    rules = place.script('local tf = require "tunfilter"\n'
                         'tf.on_packet("icmp or icmp6", function() end)\n'
                         'tf.on_packet{ from = tf.right, name = "answers", function() end }\n', "start.lua")
    with harness.Run(place, rules, kind="tap") as running:
        running.wait_for("answers")
    lines = [line[len("tunfilter: ") :] for line in running.stderr.splitlines() if line.startswith("tunfilter: ")]
    for side in ("left", "right"):
        found = [line for line in lines if re.match(side + r"\b", line)]
        assert len(found) == 1
        assert re.search(r"\btf%s\b.*\btap\b.*mtu 1500.*namespace" % side, found[0]), found
    callbacks = [line for line in lines if line.startswith("callback ")]
    assert len(callbacks) == 2
    assert re.search(r"start\.lua:2\b.*: icmp or icmp6$", callbacks[0])
    assert re.search(r"answers.*start\.lua:3\b.*from right", callbacks[1])


def test_quiet_is_quiet(place):
    done = harness.run_lab(place, harness.PASS, "true", options=["-q"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_v_prints_a_line_a_packet_with_direction_and_verdict(lab):
    rules = """local tf = require "tunfilter"
tf.on_packet{ name = "sorter", function(pkt)
   if pkt.from == tf.right then pkt.ip.ttl = 9; return end
   if pkt.udp.dport == 1 then return tf.drop end
   if pkt.udp.dport == 2 then return tf.reply end
   if pkt.udp.dport == 3 then error "on purpose" end
   if pkt.udp.dport == 4 then tf.send(tf.left, pkt) end
end }
"""

    def to_port(port):
        return bytes(IP(src="198.51.100.1", dst="203.0.113.1") / UDP(sport=9, dport=port) / Raw(b"12"))

    with lab(rules, "-v") as running:
        for port in (1, 2, 3, 4):
            running.left.send(to_port(port))
        assert len(running.right.receive(1)) == 1
        running.right.send(to_port(5))
        assert len(running.left.receive(3)) == 3
    lines = [re.sub(r"^[\d:.]+ +", "", line) for line in running.stderr.splitlines() if re.match(r"\d\d:\d\d:\d\d\.\d{6} ", line)]
    lines = [re.sub(r" +", " ", line).strip() for line in lines]
    text = "IP 198.51.100.1.9 > 203.0.113.1.%d: UDP, length 2"
    expected = [
        "left > right " + text % 1 + " drop by sorter",
        "left > right " + text % 2 + " reply by sorter",
        "left > right " + text % 3 + " error, drop by sorter",
        "> left " + text % 4 + " sent",
        "left > right " + text % 4 + " forward",
        "right > left " + text % 5 + " forward",
        "> left " + text % 5 + " edited",
    ]
    assert lines == expected


def test_v_has_no_colour_but_on_a_terminal(lab):
    with lab(harness.PASS, "-v") as running:
        running.left.send(datagram(1))
        running.right.receive(1)
    assert "\033" not in running.stderr


class TestDeviceStates:
    def test_a_deleted_device_ends_the_run_with_its_name(self, place):
        with harness.Run(place, harness.PASS) as running:
            assert running.run("right", "ip", "link", "del", "tfright")[0] == 0
            running.wait_for(r"error: right device tfright: ")
            running.wire.wait()
        assert running.status == SYSTEM
        assert running.table()["in"] == [0, 0]

    def test_a_device_that_goes_down_is_waited_for(self, place):
        with harness.Run(place, harness.PASS) as running:
            assert wire.move([datagram(1)], running.left, running.right) == [datagram(1)]
            assert running.run("right", "ip", "link", "set", "tfright", "down")[0] == 0
            running.wait_for(r"warning: .*tfright.* down")
            for number in range(2, 7):
                running.left.send(datagram(number))
            assert running.right.nothing()
            assert running.run("right", "ip", "link", "set", "tfright", "up")[0] == 0
            running.wait_for(r"tfright is up")
            assert wire.move([datagram(8)], running.left, running.right) == [datagram(8)]
            assert wire.move([datagram(9)], running.right, running.left) == [datagram(9)]
        assert running.status == 0
        table = running.table()
        assert table["in"] == [7, 1] and table["forwarded"] == [7, 1]
        assert table["lost"] == [5, 0]

    def test_a_device_that_we_read_from_goes_down(self, place):
        with harness.Run(place, harness.PASS) as running:
            assert running.run("left", "ip", "link", "set", "tfleft", "down")[0] == 0
            running.wait_for(r"warning: .*tfleft.* down")
            assert running.run("left", "ip", "link", "set", "tfleft", "up")[0] == 0
            running.wait_for(r"tfleft is up")
            assert wire.move([datagram(1)], running.left, running.right) == [datagram(1)]
        assert running.status == 0
