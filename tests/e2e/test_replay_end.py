"""What a replay does where no packet comes: timers, and packets that are held."""
import os
import re
import signal
import subprocess

import pytest
from scapy.all import IP, UDP, PcapReader, wrpcap

TUNFILTER = os.environ.get("TUNFILTER", "build/tunfilter")


def replay(folder, rules, count=5, times=None):
    times = times or [1700000000 + i for i in range(count)]
    packets = [IP(src="10.0.0.1", dst="10.0.0.2", id=i) / UDP(dport=9) for i in range(len(times))]
    for packet, time in zip(packets, times):
        packet.time = time
    wrpcap(str(folder / "in.pcap"), packets)
    (folder / "rules.lua").write_text('local tf = require "tunfilter"\n' + rules)
    done = subprocess.run([TUNFILTER, "replay", "rules.lua", "in.pcap", "out.pcap"], cwd=folder,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [(round(float(p.time) - 1700000000, 6), p.id) for p in PcapReader(str(folder / "out.pcap"))]


def test_copies_that_are_sent_later_all_come_out(tmp_path):
    out = replay(tmp_path, """
tf.every(0.25, function() end)
tf.on_packet(function(pkt)
   local copy = pkt:copy()
   tf.after(2.5, function() tf.send(tf.right, copy) end)
   return tf.drop
end)
""")
    assert out == [(i + 2.5, i) for i in range(5)]


def test_a_timer_may_set_the_next_one(tmp_path):
    out = replay(tmp_path, """
tf.on_packet(function(pkt)
   if pkt.number < 5 then return tf.drop end
   local copy, rounds = pkt:copy(), 0
   local function again()
      rounds = rounds + 1
      copy.ip4.id = rounds
      tf.send(tf.right, copy)
      if rounds < 3 then tf.after(10, again) end
   end
   tf.after(10, again)
   return pkt:hold(5)
end)
""")
    assert out == [(9, 4), (14, 1), (24, 2), (34, 3)]


@pytest.mark.parametrize("timer", ["tf.every(1, function() end)",
                                   "local function f() tf.after(0, f) end f()",
                                   "local function f() tf.after(7200, f) end f()"])
def test_timers_that_never_end_do_not_keep_it(tmp_path, timer):
    assert len(replay(tmp_path, timer, count=2)) == 2


def test_held_packets_come_in_the_order_of_their_times_however_many(tmp_path):
    count = 10000
    times = [1700000000 + i / 100000 for i in range(count)] + [1700000010]
    out = replay(tmp_path, f"tf.on_packet(function(pkt) if pkt.number <= {count} then return pkt:hold(1.5) end end)",
                 times=times)
    assert [number for _, number in out] == list(range(count + 1))
    assert out == sorted(out)


def test_timers_send_whatever_there_is_to_send_between_two_packets(tmp_path):
    out = replay(tmp_path, """
local copy
tf.every(1, function() if copy then assert(tf.send(tf.right, copy)) end end)
tf.on_packet(function(pkt) copy = copy or pkt:copy() end)
""", times=[1700000000, 1700000000 + 10000.5])
    assert out == [(i, 0) for i in range(10001)] + [(10000.5, 1)]


def test_between_a_packet_without_a_time_and_the_next_is_one_day(tmp_path):
    out = replay(tmp_path, """
local rounds, copy = 0, nil
tf.every(3600, function()
   rounds = rounds + 1
   copy.ip4.id = 100 + rounds
   tf.send(tf.right, copy)
end)
tf.on_packet(function(pkt) copy = copy or pkt:copy() end)
""", times=[0, 1700000000, 1700000001])
    assert [number for _, number in out] == [0, *range(101, 125), 1, 2]
    assert [time for time, _ in out[-2:]] == [0, 1]


def test_a_reader_of_the_capture_that_does_not_read_can_be_left(tmp_path):
    packets = [IP(src="10.0.0.1", dst="10.0.0.2") / UDP(dport=9) / (b"x" * 60000)] * 400
    wrpcap(str(tmp_path / "in.pcap"), packets)
    (tmp_path / "rules.lua").write_text("")
    with subprocess.Popen([TUNFILTER, "replay", "rules.lua", "in.pcap", "--capture", "-"], cwd=tmp_path,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        try:
            os.read(run.stdout.fileno(), 1)
            run.send_signal(signal.SIGINT)
            assert run.wait(timeout=30) == 3
        finally:
            run.kill()
        assert "its reader does not read" in run.stderr.read()


def test_an_interrupt_ends_the_time_behind_the_last_packet(tmp_path):
    packets = [IP(src="10.0.0.1", dst="10.0.0.2") / UDP(dport=9)]
    wrpcap(str(tmp_path / "in.pcap"), packets)
    (tmp_path / "rules.lua").write_text("""
local tf = require "tunfilter"
local count = 0
local function again()
   count = count + 1
   if count == 1000 then tf.log "draining" end
   tf.after(0, again)
end
tf.on_packet(again)
tf.on_stop(function() tf.log("timers", count) end)
""")
    with subprocess.Popen([TUNFILTER, "replay", "rules.lua", "in.pcap"], cwd=tmp_path, text=True,
                          stderr=subprocess.PIPE) as run:
        for line in run.stderr:
            if "draining" in line:
                break
        run.send_signal(signal.SIGINT)
        rest = run.stderr.read()
    assert run.returncode == 0, rest
    assert 1000 <= int(re.search(r"timers\t(\d+)", rest)[1]) < 1000000, rest


def test_what_it_logs_has_the_times_of_the_capture(tmp_path):
    packets = [IP(src="10.0.0.1", dst="10.0.0.2") / UDP(dport=9) for _ in range(2)]
    for packet, time in zip(packets, (1700000000.25, 1700000010.5)):
        packet.time = time
    wrpcap(str(tmp_path / "in.pcap"), packets)
    (tmp_path / "rules.lua").write_text("""
local tf = require "tunfilter"
print "top"
tf.on_start(function() tf.log "start" end)
tf.on_packet(function(pkt) tf.log("packet", pkt.number) end)
tf.after(5, function() print "timer" end)
tf.on_stop(function() print "stop" end)
""")
    done = subprocess.run([TUNFILTER, "replay", "rules.lua", "in.pcap", "-v"], cwd=tmp_path, text=True, capture_output=True,
                          timeout=60, env=dict(os.environ, TZ="UTC"), check=True)
    found = re.findall(r"^(\d\d:\d\d:\d\d\.\d+) +(\w+)", done.stderr, re.M)
    assert found == [("22:13:20.250", "top"), ("22:13:20.250", "start"), ("22:13:20.250", "packet"), ("22:13:20.250000", "left"),
                     ("22:13:25.250", "timer"), ("22:13:30.500", "packet"), ("22:13:30.500000", "left"), ("22:13:30.500", "stop")]


@pytest.mark.parametrize(["rules", "limit"], [("print 'inside' while true do end", "3000"),
                                              ("tf.on_packet(function() print 'inside' while true do end end)", "0")])
def test_an_interrupt_ends_a_script_that_does_not_come_back(tmp_path, rules, limit):
    wrpcap(str(tmp_path / "in.pcap"), [IP(src="10.0.0.1", dst="10.0.0.2") / UDP(dport=9)])
    (tmp_path / "rules.lua").write_text('local tf = require "tunfilter"\n' + rules)
    with subprocess.Popen([TUNFILTER, "replay", "rules.lua", "in.pcap", "--time-limit", limit], cwd=tmp_path, text=True,
                          stderr=subprocess.PIPE) as run:
        try:
            for line in run.stderr:
                if "inside" in line:
                    break
            run.send_signal(signal.SIGINT)
            assert run.wait(timeout=60) == 1
        finally:
            run.kill()
        assert "did not come back when it was interrupted" in run.stderr.read()
