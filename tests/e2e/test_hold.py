"""pkt:hold(), copies that go out later, and duplicates: what comes out, in which order and when."""

import functools
import random
import re
import select
import socket
import struct
import time

import pytest
from scapy.layers.inet import IP, UDP
from scapy.utils import RawPcapReader

import harness
import wire

TF = 'local tf = require "tunfilter"\n'


@functools.cache
def headers(size):
    return bytes(IP(src="10.77.0.1", dst="10.77.0.2", len=36 + size) / UDP(sport=1, dport=2, len=16 + size, chksum=0))


def packet(number, size=0):
    return headers(size) + b"%08d" % number + bytes(size)


def number_of(data):
    return int(data[28:36])


def replay(place, rules, times, size=0):
    """Packets that come at these times (in microseconds): [(time, number)] of what came out, and the table."""
    place.count += 1
    into, out = (place.path / ("%s%d.pcap" % (name, place.count)) for name in ("in", "out"))
    with open(into, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 262144, 101))
        for i, at in enumerate(times, 1):
            data = packet(i, size)
            file.write(struct.pack("<IIII", 1000 + at // 10**6, at % 10**6, len(data), len(data)) + data)
    result = harness.run(place, "replay", place.script(TF + rules), into, out, user=False)
    assert result.returncode == 0, result.stderr
    came = [((meta.sec - 1000) * 10**6 + meta.usec, number_of(data)) for data, meta in RawPcapReader(str(out))]
    table = harness.tables(result.stderr)[-1]
    harness.check_sums(table)
    return came, table, result.stderr


def test_offline_times_are_exact(place):
    """Each packet comes out at its own time plus the time that it was held for, in that order."""
    times = sorted(random.Random(1).choices(range(0, 2000000, 100), k=3000))
    delays = random.Random(2).choices([0, 0, 100, 5000, 50000, 1000000, 1000100], k=3000)
    rules = "local delays = { %s }\ntf.on_packet(function(pkt)\n   local us = delays[pkt.number]\n" \
            "   if us > 0 then return pkt:hold(us / 1e6) end\nend)\n" % ", ".join(map(str, delays))
    came, table, _ = replay(place, rules, times)
    expected = sorted((at + delay, i) for i, (at, delay) in enumerate(zip(times, delays), 1))
    assert [at for at, _ in came] == [at for at, _ in expected]
    assert sorted(came) == expected
    held = sum(delay > 0 for delay in delays)
    assert table["held"] == [held, 0]


def test_it_is_what_the_packet_is_when_it_is_returned(place):
    rules = """
tf.on_packet(function(pkt)
   local verdict = pkt:hold(5)
   pkt:hold(0.5)
   pkt.payload = "00000099"
   return verdict
end)
"""
    assert replay(place, rules, [0])[0] == [(500000, 99)]


def test_memory_is_bounded_in_number(place):
    came, table, _ = replay(place, "tf.on_packet(function(pkt) return pkt:hold(10) end)\n", range(70000))
    assert [i for _, i in came] == list(range(1, 65537))
    assert table["lost"] == [70000 - 65536, 0]


def test_memory_is_bounded_in_bytes(place):
    size = 60000
    came, table, _ = replay(place, "tf.on_packet(function(pkt) return pkt:hold(10) end)\n", range(1300), size)
    fit = (64 << 20) // len(packet(1, size))
    assert [i for _, i in came] == list(range(1, fit + 1))
    assert table["lost"] == [1300 - fit, 0]


@pytest.mark.parametrize("call, message", [
    ("pkt:hold()", "hold: expected a number of seconds, got nil"),
    ("pkt:hold('1')", "hold: expected a number of seconds, got string"),
    ("pkt:hold(-1)", "hold: -1 seconds are not in 0..3600"),
    ("pkt:hold(3601)", "hold: 3601 seconds are not in 0..3600"),
    ("pkt:hold(0/0)", "hold: "),
    ("pkt.hold(1)", "hold: call it with a colon, as pkt:hold()"),
    ("pkt:copy():hold(1)", "hold: a copy has no verdict: use tf.after and tf.send"),
    ("({ pkt:hold(1) })", "returned a table; it may return nothing, tf.forward, tf.drop, tf.reply, pkt:hold() or pkt:reject()"),
])
def test_errors(place, call, message):
    _, table, stderr = replay(place, "tf.on_packet(function(pkt) return %s end)\n" % call, [0])
    assert message in stderr and re.search(r"rules\d+\.lua:2:", stderr), stderr
    assert table["errors"] == [1, 0]


def test_another_packets_verdict_is_an_error(place):
    rules = """
local kept
tf.on_packet(function(pkt)
   kept = kept or pkt:hold(0.1)
   return kept
end)
"""
    came, table, stderr = replay(place, rules, [0, 1000])
    assert "the pkt:hold() was of another" in stderr
    assert came == [(100000, 1)] and table["errors"] == [1, 0]


# Own packets ------------------------------------------------------------------------------------------------------


def test_what_a_callback_sends_goes_before_its_packet(place):
    rules = """
tf.on_packet(function(pkt)
   tf.send(pkt.to, pkt)                  -- as it is now
   local copy = pkt:copy()
   copy.payload = ("%08d"):format(pkt.number + 1000)
   pkt.payload = ("%08d"):format(pkt.number + 2000)
   tf.send(pkt.to, copy)
end)
"""
    count = 500
    came, table, _ = replay(place, rules, range(count))
    assert [i for _, i in came] == [i + more for i in range(1, count + 1) for more in (0, 1000, 2000)]
    assert [at for at, _ in came] == [i for i in range(count) for _ in range(3)]
    assert table["forwarded"] == [count, 0] and table["sent"] == [count * 2, 0]


def test_copies_are_sent_and_edited_later(place):
    """A timer's copies come between packets and held ones, each at its time."""
    rules = """
tf.on_packet(function(pkt)
   if pkt.number % 3 == 0 then return pkt:hold(0.0034) end
   if pkt.number % 3 == 1 then
      local copy, to = pkt:copy(), pkt.to
      tf.after(0.0025, function()
         copy.payload = ("%08d"):format(tonumber(copy.payload) + 1000)
         tf.send(to, copy)
      end)
      return tf.drop
   end
end)
"""
    count = 900
    came, table, _ = replay(place, rules, [i * 1000 for i in range(count)] + [10**7])
    expected = []
    for i in range(1, count + 2):
        at = (i - 1) * 1000 if i <= count else 10**7
        expected.append([(at + 3400, i), (at + 2500, i + 1000), (at, i)][i % 3])
    # The last one of all is the end of the capture: no packet comes behind it for whose sake timers would run.
    expected = sorted(expected[:-1])
    assert [entry for entry in came if entry[0] < 10**7] == expected
    assert table["sent"][0] >= count // 3


# In a lab ---------------------------------------------------------------------------------------------------------


SO_TIMESTAMPNS = 35


def arrival(port):
    """When the kernel got the next packet from the filter, on time.monotonic()'s clock, and its bytes."""
    offset = time.time_ns() - time.monotonic_ns()
    assert select.select([port.socket], [], [], 5)[0]
    data, ancillary, _, _ = port.socket.recvmsg(70000, 256)
    stamps = [struct.unpack("=qq", value) for level, kind, value in ancillary
              if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS)]
    seconds, nanoseconds = stamps[0]
    return (seconds * 10**9 + nanoseconds - offset) / 1e9, data[wire.VNET_HDR.size :]


@pytest.mark.parametrize("delay", [0.001, 0.005, 0.05])
def test_nothing_comes_early(lab, delay):
    """And in order. How late it comes is printed (pytest -s), and decides nothing."""
    rules = TF + """
tf.on_packet{ from = tf.left, function(pkt)
   pkt.payload = pkt.payload .. ("%%.7f"):format(tf.now())
   return pkt:hold(%g)
end }
""" % delay
    count, late = 300 if delay < 0.05 else 100, []
    with lab(rules) as wired:
        wired.right.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        for i in range(count):
            wired.left.send(packet(i))
            came, data = arrival(wired.right)
            late.append(came - float(data[36:]) - delay)
            assert number_of(data) == i
    assert min(late) >= -1e-5  # the two clocks are read one after the other
    late.sort()
    print("hold(%g): p50 %.3f ms, p99 %.3f ms late" % (delay, late[count // 2] * 1e3, late[count * 99 // 100] * 1e3))


def test_they_come_in_the_order_of_their_times(lab):
    """Sent at once, held for times in another order."""
    count = 200
    order = list(range(1, count + 1))
    random.Random(3).shuffle(order)
    rules = TF + """
local place = { %s }
local first
tf.on_packet{ from = tf.left, function(pkt)
   first = first or tf.now()
   return pkt:hold(first + 0.3 + place[tonumber(pkt.payload)] * 0.001 - tf.now())
end }
""" % ", ".join(str(order.index(i) + 1) for i in range(1, count + 1))
    with lab(rules) as wired:
        for i in range(1, count + 1):
            wired.left.send(packet(i))
        came = [number_of(data) for data in wired.right.receive(count)]
    assert came == order


def test_duplicates_come_before_their_packet(lab):
    rules = TF + """
tf.on_packet{ from = tf.left, function(pkt)
   tf.send(pkt.to, pkt)
   tf.send(pkt.from, pkt)
   pkt.payload = ("%08d"):format(pkt.payload + 1000)
end }
"""
    count = 100
    with lab(rules) as wired:
        for i in range(1, count + 1):
            wired.left.send(packet(i))
        came = [number_of(data) for data in wired.right.receive(2 * count)]
        back = [number_of(data) for data in wired.left.receive(count)]
    assert came == [i + more for i in range(1, count + 1) for more in (0, 1000)]
    assert back == list(range(1, count + 1))
    assert wired.table()["sent"] == [count, count]
