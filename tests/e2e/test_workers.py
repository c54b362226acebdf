"""Several workers: both directions of a flow are one worker's, and what all have counted is one table; --spin."""

import os
import random
import re
import signal
import time
from pathlib import Path

import pytest
from scapy.all import ARP, ICMP, IP, TCP, UDP, Ether, IPv6, PcapNgReader, Raw, fragment

import harness
import wire

# The worker that saw a packet is the TTL that it leaves with.
MARK = """
local tf = require "tunfilter"
local seen = tf.counter "seen"
tf.on_packet(function(pkt)
   seen:add()
   if pkt.ip then pkt.ip.ttl = tf.worker end
end)
"""
WORKERS = 4


def worker_of(packet):
    return packet[8] if packet[0] >> 4 == 4 else packet[7]


def flows(chance, count):
    """Packets there and back, a pair a flow: no two have the same ends."""
    pairs = []
    for number in range(count):
        ports = chance.sample(range(1, 65536), 2)
        hosts = chance.sample(range(1, 255), 2)
        layer, form = ((IP, "198.51.100.%d"), (IPv6, "2001:db8::%x"))[number % 2]
        upper = (TCP, UDP)[number // 2 % 2]
        there = layer(src=form % hosts[0], dst=form % hosts[1]) / upper(sport=ports[0], dport=ports[1])
        back = layer(src=form % hosts[1], dst=form % hosts[0]) / upper(sport=ports[1], dport=ports[0])
        pairs.append((bytes(there / Raw(b"%06d" % number)), bytes(back / Raw(b"%06d" % number))))
    return pairs


def marks(came):
    """Flow's number (its payload) -> workers that saw it."""
    found = {}
    for packet in came:
        found.setdefault(bytes(packet[-6:]), set()).add(worker_of(packet))
    return found


def test_a_flow_is_one_workers(lab):
    chance = random.Random(4)
    pairs = flows(chance, 200)
    with lab(MARK, "--workers", WORKERS) as running:
        first, second = pairs[::2], pairs[1::2]
        came = wire.move([there for there, _ in first], running.left, running.right)
        came += wire.move([there for there, _ in second], running.right, running.left)  # these begin on the right
        for _ in range(2):
            came += wire.move([back for _, back in first], running.right, running.left)
            came += wire.move([back for _, back in second], running.left, running.right)
            came += wire.move([there for there, _ in first], running.left, running.right)
        assert len(came) == 100 * 2 + 2 * 300
        found = marks(came)
    assert len(found) == 200
    assert [workers for workers in found.values() if len(workers) > 1] == []
    assert set.union(*found.values()) == set(range(1, WORKERS + 1))
    assert running.status == 0
    assert sum(running.table()["forwarded"]) == len(came)
    assert re.search(r"^counter  seen +%d$" % len(came), running.stderr, re.M)


def test_both_directions_at_once(lab):
    pairs = flows(random.Random(5), 64)
    with lab(MARK, "--workers", WORKERS) as running:
        for there, back in pairs:  # neither has been answered when the other comes
            running.left.send(there)
            running.right.send(back)
        came = running.right.receive(64) + running.left.receive(64)
        assert len(came) == 128
        assert [workers for workers in marks(came).values() if len(workers) > 1] == []


def test_fragments_and_what_has_no_ports(lab):
    """All that is between two hosts and has no ports on it is one worker's."""
    chance = random.Random(6)
    there, back = [], []
    for _ in range(30):
        a, b = chance.sample(range(1, 255), 2)
        for packets, src, dst in ((there, a, b), (back, b, a)):
            ip = IP(src="198.51.100.%d" % src, dst="198.51.100.%d" % dst, id=chance.randrange(65536))
            for part in fragment(ip / UDP(sport=chance.randrange(65536), dport=53) / Raw(b"x" * 3000), 1400):
                packets.append(bytes(part))
    with lab(MARK, "--workers", WORKERS) as running:
        came = wire.move(there, running.left, running.right, 30) + wire.move(back, running.right, running.left, 30)
        assert len(came) == len(there) + len(back)
        by_hosts = {}
        for packet in came:
            by_hosts.setdefault(frozenset((packet[12:16], packet[16:20])), set()).add(worker_of(packet))
        assert [workers for workers in by_hosts.values() if len(workers) > 1] == []
        assert len(set.union(*by_hosts.values())) > 1

        pings = [bytes(IP(src=src, dst=dst) / ICMP(type=kind, id=number) / Raw(b"%06d" % number))
                 for number in range(20) for src, dst, kind in (("192.0.2.1", "192.0.2.2", 8), ("192.0.2.2", "192.0.2.1", 0))]
        came = wire.move(pings[0::2], running.left, running.right) + wire.move(pings[1::2], running.right, running.left)
        assert len(came) == 40 and len({worker_of(packet) for packet in came}) == 1


def test_what_is_not_ip(lab):
    rules = """
local tf = require "tunfilter"
tf.on_packet(function(pkt) pkt.eth.src = ("02:00:00:00:00:%02x"):format(tf.worker) end)
"""
    arp = [bytes(Ether(src="02:00:00:00:09:01", dst="ff:ff:ff:ff:ff:ff") /
                 ARP(psrc="192.0.2.%d" % n, pdst="192.0.2.%d" % (n + 1), op=1)) for n in range(20)]
    other = [bytes(Ether(src="02:00:00:00:09:01", dst="02:00:00:00:09:02", type=0x88B5) / Raw(b"%060d" % n)) for n in range(20)]
    with lab(rules, "--workers", WORKERS, kind="tap") as running:
        for packets in (arp, other):
            came = wire.move(packets[::2], running.left, running.right) + wire.move(packets[1::2], running.right, running.left)
            assert len(came) == 20 and len({packet[11] for packet in came}) == 1


def test_answers_to_what_a_script_changed(lab):
    """A worker that translates ports gets the answers, although the kernel sees them as another flow."""
    rules = """
local tf = require "tunfilter"
local inner = {}
tf.on_packet{ from = tf.left, function(pkt)
   local outer = pkt.udp.sport + 10000
   inner[outer] = pkt.udp.sport
   pkt.udp.sport = outer
end }
tf.on_packet{ from = tf.right, function(pkt)
   if not inner[pkt.udp.dport] then return tf.drop end
   pkt.udp.dport = inner[pkt.udp.dport]
end }
"""
    with lab(rules, "--workers", WORKERS) as running:
        for number in range(40):
            ask = bytes(IP(src="192.0.2.1", dst="192.0.2.9") / UDP(sport=20000 + number, dport=53) / Raw(b"ask"))
            answer = bytes(IP(src="192.0.2.9", dst="192.0.2.1") / UDP(sport=53, dport=30000 + number) / Raw(b"answer"))
            assert len(wire.move([ask], running.left, running.right)) == 1
            came = wire.move([answer], running.right, running.left)
            assert [IP(packet)[UDP].dport for packet in came] == [20000 + number]


def test_each_has_its_own_script(lab):
    rules = """
local tf = require "tunfilter"
tf.log("top", tf.worker, tf.random(1, 2^40))
tf.on_start(function() tf.log("start", tf.worker) end)
tf.on_stop(function() tf.log("stop", tf.worker) end)
tf.every(0.01, function() tf.counter("timer " .. tf.worker):add() end)
"""
    numbers = []
    for options in (["--workers", 3], ["--workers", 3], []):
        with lab(rules, "--seed", 7, *options) as running:
            running.wait_for("callback|left")
            harness.wait_until(lambda: ask_for_table(running).count("counter") > 0 and
                               all(int(n) > 2 for n in re.findall(r"^counter  timer \d +(\d+)$", last_table(running), re.M)))
        assert running.status == 0
        count = options[1] if options else 1
        for word in ("start", "stop"):
            assert re.findall(r"%s\t(\d)" % word, running.stderr) == [str(n + 1) for n in range(count)]
        assert len(re.findall(r"^counter  timer", last_table(running), re.M)) == count
        numbers.append(dict(re.findall(r"top\t(\d)\t(\d+)", running.stderr)))
    assert numbers[0] == numbers[1]
    assert len(set(numbers[0].values())) == 3
    assert numbers[2]["1"] == numbers[0]["1"]


def last_table(running):
    return running.stderr.rpartition("direction ")[2]


def ask_for_table(running):
    """Asks for a table as --stats and SIGUSR1 do, and waits for it; the text of the last one."""
    before = running.stderr.count("direction ")
    running.signal(signal.SIGUSR1)
    harness.wait_until(lambda: running.stderr.count("direction ") > before)
    return last_table(running)


def test_tables_while_it_runs_add_up(lab):
    pairs = flows(random.Random(8), 60)
    with lab(MARK, "--workers", WORKERS) as running:
        came = wire.move([there for there, _ in pairs], running.left, running.right)
        text = ask_for_table(running)
        assert len(came) == 60
        assert re.search(r"^in +60 ", text, re.M) and re.search(r"^counter  seen +60$", text, re.M)


def test_a_capture_has_all(lab, place):
    pairs = flows(random.Random(9), 50)
    path = place.path / "workers.pcapng"
    with lab(MARK, "--workers", WORKERS, "--capture", path) as running:
        for _ in range(4):  # never two of a flow at once, which would be written as one
            assert len(wire.move([there for there, _ in pairs], running.left, running.right)) == 50
    assert running.status == 0
    packets = [bytes(packet) for packet in PcapNgReader(str(path))]
    for there, _ in pairs:  # as it came in, and as it went out: the TTL is an edit
        mine = [packet for packet in packets if packet[-6:] == there[-6:]]
        assert len(mine) == 8
        assert mine.count(there) == 4 and mine[0] == there


def test_a_device_that_goes_ends_all(place):
    with harness.Run(place, MARK, "--workers", 2) as running:
        assert running.run("left", "ip", "link", "del", "tfleft")[0] == 0
        running.wire.wait()
    assert running.status == 3
    assert running.stderr.count("it was deleted") == 1


def test_a_script_that_ends_its_start(place):
    done = harness.run_lab(place, 'local tf = require "tunfilter"\ntf.on_start(function() if tf.worker == 2 then error "no" end end)\n',
                           "true", options=("--workers", 3))
    assert done.returncode == 1 and "no" in done.stderr


def test_other_commands_have_one(place):
    script = place.script('local tf = require "tunfilter"\ntf.log("worker", tf.worker)\n')
    assert "worker\t1" in harness.run(place, "check", script).stderr


@pytest.mark.parametrize("options", [(), ("--workers", 2)])
def test_spinning(lab, options):
    """What has to go on while nothing comes: timers, held packets, signals."""
    rules = """
local tf = require "tunfilter"
local ticks = tf.counter "ticks"
tf.every(0.005, function() ticks:add() end)
tf.on_packet(function(pkt) pkt:hold(0.05) end)
"""
    packet = bytes(IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=1, dport=2) / Raw(b"held"))
    with lab(rules, "--spin", 1000000, *options) as running:
        assert wire.move([packet], running.left, running.right) == [packet]
        harness.wait_until(lambda: re.search(r"^counter  ticks +\d\d", ask_for_table(running), re.M))
    assert running.status == 0


def processes(pid):
    """A process and all that it has started, the first first."""
    children = Path("/proc/%d/task/%d/children" % (pid, pid)).read_text().split()
    return [pid, *(each for child in children for each in processes(int(child)))]


@pytest.mark.parametrize("queue", [None, 1000])
def test_a_burst_waits_in_the_queue(place, queue):
    """The filter does not run at all while the burst comes."""
    packets = [bytes(IP(src="192.0.2.1", dst="192.0.2.2", id=number) / ICMP(type=8, seq=number)) for number in range(2048)]
    left = "tun:tfleft,netns={left},address=10.77.0.1/24"
    with harness.Run(place, harness.PASS, *(["--left", left + ",queue=%d" % queue] if queue else [])) as running:
        running.left.drain(0.2)
        running.right.drain()
        for pid in processes(running.pid):
            os.kill(pid, signal.SIGSTOP)
        for packet in packets:
            try:
                running.left.send(packet)
            except OSError:  # the queue is full
                pass
        for pid in processes(running.pid):
            os.kill(pid, signal.SIGCONT)
        came = running.right.receive(len(packets), 2)
    assert running.status == 0
    assert len(came) == 2048 if queue != 1000 else 1000 <= len(came) < 2048
    assert came == packets[: len(came)]
    assert running.table()["kernel-dropped"][0] == 2048 - len(came)


IN_TURN = """
local tf = require "tunfilter"
local seen, from_left, batches, last = 0, 0, 0, nil
tf.on_packet("icmp", function(pkt)
   if seen < 2048 and pkt.from == tf.left then from_left = from_left + 1 end
   seen = seen + 1
   if pkt.time ~= last then batches, last = batches + 1, pkt.time end -- those of a batch have one time
end)
tf.on_stop(function() tf.log(("seen %d batches %d from left %d"):format(seen, batches, from_left)) end)
"""


def test_under_load_both_directions_are_served_by_many_packets_a_wakeup(place):
    """Each side has 2,048 packets in its queue when the filter comes to run: none waits until the other has no more."""
    packet = bytes(IP(src="192.0.2.1", dst="192.0.2.2") / ICMP(type=8))
    other = bytes(IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=1, dport=2))

    def passes(source, target):
        try:
            source.send(other)
        except OSError:  # the device is not up yet
            return False
        return target.receive_one(0.2)

    with harness.Run(place, IN_TURN) as running:
        ports = running.left, running.right
        for source, target in (ports, ports[::-1]):
            harness.wait_until(lambda: passes(source, target))
            target.drain(0.2)
        pids = processes(running.pid)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for _ in range(2048):
            running.left.send(packet)
            running.right.send(packet)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        for port in (running.left, running.right):
            assert len(port.receive(2048, 20)) == 2048
    seen, batches, from_left = map(int, re.search(r"seen (\d+) batches (\d+) from left (\d+)", running.stderr).groups())
    assert seen == 4096
    assert 2048 / 10 <= from_left <= 2048 * 9 / 10
    assert batches <= seen / 10


def wakeups(pid):
    """The threads of a run, and how often each has slept and woken."""
    tasks = [task for each in processes(pid) for task in Path("/proc/%d/task" % each).iterdir()]
    return {task.name: re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text()) for task in tasks}


@pytest.mark.skipif("thread" in os.environ.get("TF_SANITIZE", ""), reason="this sanitizer has a thread of its own, which wakes")
@pytest.mark.parametrize("options", [(), ("--workers", 2, "--spin", 1000)])
def test_idle(place, options):
    """Nothing wakes a program that has nothing to do."""
    with harness.Run(place, harness.PASS, *options) as running:
        for side in ("left", "right"):
            assert running.run(side, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6")[0] == 0
        packet = bytes(IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=1, dport=2))
        running.left.send(packet)
        assert packet in running.right.receive(10, 1)

        def still():
            before = wakeups(running.pid)
            time.sleep(0.5)
            return before == wakeups(running.pid) and before

        threads = len(harness.wait_until(still))
        assert threads == len(processes(running.pid)) + ("--workers" in options)
    assert running.status == 0
