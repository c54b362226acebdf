"""A script that was saved takes the running one's place between two batches, or changes nothing."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

import harness
import lab_tools
import wire

HEADER = 'local tf = require "tunfilter"\n'
RELOADS = 15 if harness.SANITIZED else 100


def packet(text, sport=9):
    return bytes(IP(src="198.51.100.1", dst="203.0.113.1") / UDP(sport=sport, dport=9) / Raw(text.encode()))


def payloads(packets):
    """The payloads of UDP packets whose checksum is right."""
    for one in packets:
        assert wire.checksum(one[12:20] + b"\0\x11" + one[24:26] + one[20:]) == 0, one.hex()
    return [one[28:].decode() for one in packets]


def marks(word):
    """A script that puts its mark at the end of what passes."""
    return HEADER + 'tf.on_packet("udp", function(pkt) pkt.payload = pkt.payload:sub(1, -2) .. "%s" end)\n' % word


def save(path, text):
    """As most editors do: another file gets the name."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o644)
    os.replace(new, path)


def supervisor(running):
    return lab_tools.child(lab_tools.child(running.pid, "tunfilter-lab"), "tunfilter")


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as words:
        return {int(word) for word in words.read().split()}


def passes(running, text="x"):
    """What a socket's packet with this payload comes out as."""
    running.left.send(packet(text + "?"), partial=True)
    return payloads(running.right.receive(1, timeout=20))


@pytest.mark.parametrize("how", ["rename", "in place", "signal", "signal to the lab"])
def test_a_saved_script_is_loaded(place, lab, how):
    path = place.script(marks("1"))
    with lab(path) as running:
        assert passes(running) == ["x1"]
        if how == "rename":
            save(path, marks("2"))
        elif how == "in place":
            path.write_text(marks("2"))
        elif how == "signal to the lab":
            running.signal(signal.SIGHUP)
        else:
            os.kill(supervisor(running), signal.SIGHUP)
        running.wait_for("%s is loaded anew" % path)
        assert passes(running) == ["x1" if "signal" in how else "x2"]
    assert running.status == 0
    assert running.table()["forwarded"] == [2, 0]  # of both


def test_a_file_that_it_requires_counts(place, lab):
    path, part = place.file("a/rules.lua", HEADER + 'local part = require "part"\n'
                            'local names = tf.names.load "names.txt"\n'
                            'tf.on_packet("udp", function(pkt) pkt.payload = part .. #names end)\n'), \
        place.file("a/part.lua", 'return "p"')
    names = place.file("a/names.txt", "one.example\n")
    with lab(path) as running:
        assert passes(running) == ["p1"]
        save(part, 'return "q"')
        running.wait_for("loaded anew")
        assert passes(running) == ["q1"]
        save(names, "one.example\ntwo.example\n")
        harness.wait_until(lambda: running.stderr.count("loaded anew") == 2)
        assert passes(running) == ["q2"]


@pytest.mark.parametrize("text, words", [
    ("local x = = 1\n", r"rules\d+\.lua:1: unexpected symbol"),
    (HEADER + "error 'not today'\n", r"rules\d+\.lua:2: not today"),
    (HEADER + "tf.on_start(function() error 'no start' end)\n", "no start"),
    (HEADER + "tf.on_packet('icmp6', function(pkt) local x = pkt.tcp.sport end)\n",
     r"attempt to index field 'tcp'[^\x00]*\n\ton a dry run with a ping over IPv6"),
    (HEADER + "tf.on_packet('icmp', function() while true do end end)\n",
     r"rules\d+\.lua:2 did not come back within 300 ms \(--time-limit\)\n\ton a dry run with a ping: IP 10"),
    (HEADER + "while true do end\n", "its top level did not come back within 3000 ms"),
])
def test_one_that_does_not_load_changes_nothing(place, lab, text, words):
    path = place.script(marks("1"))
    with lab(path, "--time-limit", "300") as running:
        assert passes(running) == ["x1"]
        save(path, text)
        running.wait_for("is not loaded anew: the script that runs goes on")
        assert re.search(words, running.stderr), running.stderr
        assert passes(running) == ["x1"]
        save(path, marks("2"))
        running.wait_for("is loaded anew")
        assert passes(running) == ["x2"]
    assert running.status == 0 and running.table()["errors"] == [0, 0]


@pytest.mark.parametrize("options", [[], ["--no-offload"]])
def test_what_passes_over(place, lab, options):
    """tf.keep as it was last, flows where they are wanted, counters, held packets; and nothing else."""
    text = HEADER + """
    tf.flow.keep = true
    local mine = %d
    tf.keep.list = tf.keep.list or {}
    tf.keep.loads = (tf.keep.loads or 0) + 1
    local seen = 0
    tf.on_packet("udp", function(pkt)
       if pkt.payload == "held" then return pkt:hold(1.5) end
       local flow = tf.flow(pkt)
       flow.count = (flow.count or 0) + 1
       seen = seen + 1
       table.insert(tf.keep.list, pkt.payload:sub(1, 1))
       tf.counter "all":add()
       pkt.payload = ("%%d %%d %%d %%d %%s"):format(mine, tf.keep.loads, flow.count, seen, table.concat(tf.keep.list, ","))
    end)
    tf.on_stop(function() tf.keep.list[1] = "stopped" end)
    """
    path = place.script(text % 1)
    with lab(path, *options) as running:
        assert passes(running, "a") == ["1 1 1 1 a"]
        assert passes(running, "b") == ["1 1 2 2 a,b"]
        running.left.send(packet("held"), partial=True)
        save(path, text % 2)
        running.wait_for("loaded anew")
        out = passes(running, "c")
        if out == ["held"]:  # the machine was slow
            out = payloads(running.right.receive(1, timeout=20))
        else:
            assert payloads(running.right.receive(1, timeout=20)) == ["held"]
        assert out == ["2 2 3 1 stopped,b,c"]
    assert re.search("counter +all +3$", running.stderr, re.M)


def handed_over(pid):
    """KB of the memory that workers share which are in use, as far as this one has seen them."""
    sizes = [int(number) for number in re.findall(r"rw-s .*\n(?:Size|.*\n)*?Rss: +(\d+)", open("/proc/%d/smaps" % pid).read())]
    return max(sizes)


def test_what_was_handed_over_takes_no_memory(place, lab):
    path = place.script(HEADER + 'tf.keep.much = tf.keep.much or ("x"):rep(3e7)\n' + marks("1"))
    with lab(path, "--no-offload", "--time-limit", "5000") as running:
        pid = supervisor(running)
        for turn in range(2):
            os.kill(pid, signal.SIGHUP)
            harness.wait_until(lambda: running.stderr.count("loaded anew") > turn)
        assert passes(running) == ["x1"]
        harness.wait_until(lambda: max(map(handed_over, children(pid))) < 4000)


# A datagram, then thirty in one call (UDP_SEGMENT), when the server is there.
SEND = """
import os, socket, struct, sys, time
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.connect(("10.77.0.2", 7004))
sender.send(b"alone")
sender.sendmsg([b"".join(b"%04d" % i * 250 for i in range(30))], [(socket.IPPROTO_UDP, 103, struct.pack("H", 1000))])
sender.settimeout(60)
print(sender.recv(100).decode())
"""

TAKE = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("10.77.0.2", 7004))
server.settimeout(60)
came = []
while len(came) < 31:
    data, address = server.recvfrom(2000)
    came.append(data)
server.sendto(b"all" if came == [b"alone", *(b"%04d" % i * 250 for i in range(30))] else b"others", address)
"""


def test_held_packets_of_sockets_pass_over(place):
    """The kernel at the other end drops those with a wrong checksum."""
    text = HEADER + """
    local held = 0
    tf.on_packet{ "udp port 7004", from = tf.left, function(pkt)
       held = held + 1
       if held == 31 then tf.log "all are held" end
       return pkt:hold(3)
    end }
    """
    path, client, server = place.script(text), place.file("send.py", SEND), place.file("take.py", TAKE)
    with harness.Program(place, place.program, "lab", path, "--on-right", "%s %s" % (sys.executable, server),
                         "--", sys.executable, client) as running:
        running.wait_for("all are held")
        save(path, text + "-- anew")
        running.wait_for("is loaded anew")
        assert running.end() == 0
    assert re.search("^all$", running.stderr, re.M), running.stderr
    assert running.table()["held"] == [31, 0] and running.table()["lost"] == [0, 0]


def test_the_next_one_dies_while_the_first_one_ends(place, lab):
    """Then nobody has the packets; the script as it is now is started afresh, and the run goes on."""
    slow = marks("1") + """tf.on_stop(function()
       tf.log "ending"
       local sum = 0
       for i = 1, 1e9 do sum = sum + i end
    end)
    """
    path = place.script(slow)
    with lab(path, "--time-limit", "20000") as running:
        assert passes(running) == ["x1"]
        pid = supervisor(running)
        first, = children(pid)
        save(path, marks("2"))
        running.wait_for("ending")
        after, = children(pid) - {first}
        os.kill(after, signal.SIGKILL)
        running.wait_for("the worker was ended by signal 9", timeout=60)
        assert passes(running) == ["x2"]
    assert running.status == 0


def test_each_worker_keeps_its_own(place, lab):
    """Of several workers every one goes on with what it kept, and with its flows."""
    path = place.script(HEADER + """
    tf.flow.keep = true
    tf.keep.mine = tf.keep.mine or tf.worker
    tf.on_packet("udp", function(pkt)
       local flow = tf.flow(pkt)
       flow.count = (flow.count or 0) + 1
       tf.keep.seen = (tf.keep.seen or 0) + 1
       pkt.payload = ("%d %d %03d %03d"):format(tf.worker, tf.keep.mine, tf.keep.seen, flow.count)
    end)
    """)
    seen = {}
    with lab(path, "--workers", "2") as running:
        for turn in range(4):
            if turn > 0:
                os.kill(supervisor(running), signal.SIGHUP)
                harness.wait_until(lambda: running.stderr.count("loaded anew") == turn)
            for sport in range(20, 44):
                running.left.send(packet("12345678901", sport=sport), partial=True)
                out = [int(word) for word in payloads(running.right.receive(1, timeout=20))[0].split()]
                seen[out[0]] = seen.get(out[0], 0) + 1
                assert out == [out[0], out[0], seen[out[0]], turn + 1]
    assert sorted(seen) == [1, 2] and running.status == 0
    assert running.table()["forwarded"] == [96, 0]


def test_an_mtu_that_changes(place, lab):
    """Every worker sees it, and so does one that is loaded later, from the start."""
    path = place.script(HEADER + """
    local before = tf.left.mtu
    tf.on_packet("udp", function(pkt) pkt.payload = ("%d %d %d %d"):format(tf.worker, before, tf.left.mtu, tf.right.mtu) end)
    """)
    with lab(path, "--workers", "2") as running:
        def seen():
            for sport in range(20, 44):
                running.left.send(packet("1234567890123456789", sport=sport), partial=True)
            return set(payloads(running.right.receive(24, timeout=20)))

        assert seen() == {"1 1500 1500 1500", "2 1500 1500 1500"}
        for mtu in (9000, 1400):
            assert running.run("left", "ip", "link", "set", running.left.name, "mtu", mtu)[0] == 0
            harness.wait_until(lambda: seen() == {"%d 1500 %d 1500" % (worker, mtu) for worker in (1, 2)})
        running.signal(signal.SIGHUP)
        running.wait_for("loaded anew")
        assert seen() == {"1 1400 1400 1500", "2 1400 1400 1500"}


def test_a_script_that_was_given_up_comes_back(place, lab):
    hang = HEADER + 'tf.on_packet("udp src port 7", function() while true do end end)\n'
    path = place.script(hang)
    with lab(path, "--time-limit", "50") as running:
        for i in range(5):
            running.left.send(packet("x", sport=7))
            harness.wait_until(lambda: running.stderr.count("did not come back") > i)
        running.wait_for("until a change of it does better")
        save(path, marks("2"))
        running.wait_for("loaded anew")
        assert passes(running) == ["x2"]


def test_without_reload(place, lab):
    path = place.script(marks("1"))
    with lab(path, "--no-reload") as running:
        save(path, marks("2"))
        assert passes(running) == ["x1"]
        time.sleep(0.3)
        assert passes(running) == ["x1"]
    assert "anew" not in running.stderr


def test_a_capture_goes_on(place):
    """One file of all scripts, which tshark reads from end to end; also where one of them was killed."""
    path, capture = place.script(marks("1")), place.path / "out.pcapng"
    with harness.Lab(place, path, "--capture", str(capture)) as running:
        assert passes(running, "a") == ["a1"]
        save(path, marks("2"))
        running.wait_for("loaded anew")
        assert passes(running, "b") == ["b2"]
        pid = supervisor(running)
        worker = [int(word) for word in open("/proc/%d/task/%d/children" % (pid, pid)).read().split()][-1]
        os.kill(worker, signal.SIGKILL)
        running.wait_for("afresh")
        assert passes(running, "c") == ["c2"]
    done = subprocess.run(["tshark", "-r", capture, "-T", "fields", "-e", "udp.payload"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = [bytes.fromhex(line).decode() for line in done.stdout.split()]
    assert seen[:2] == ["a?", "a1"] and seen[-2:] == ["c?", "c2"]


@pytest.mark.parametrize("options", [[], ["--no-offload"]])
def test_many_reloads_under_load(place, lab, options):
    """Every packet comes out once, in order, whichever script it met."""
    path = place.script(HEADER + "tf.on_packet(function() end)\n")
    sent, got = 0, []
    with lab(path, *options) as running:
        pid = supervisor(running)
        for i in range(RELOADS):
            os.kill(pid, signal.SIGHUP)
            while running.stderr.count("is loaded anew") <= i:
                for _ in range(10):
                    running.left.send(packet("%d" % sent), partial=True)
                    sent += 1
                got += running.right.receive(0)
                time.sleep(0.002)
        got += running.right.receive(sent - len(got), timeout=20)
    table = running.table()
    assert table["kernel-dropped"] == [0, 0] and table["lost"] == [0, 0]
    assert [int(text) for text in payloads(got)] == list(range(sent))
    assert table["in"] == [sent, 0] and table["forwarded"] == [sent, 0]


def test_what_ran_is_started_afresh(place, lab):
    """Not what was saved since and is broken: neither the script nor the files that it reads."""
    text = HEADER + """local part = require "part"
    local names = tf.names.load "names.txt"
    tf.on_packet("udp src port 7", function() while true do end end)
    tf.on_packet("udp", function(pkt) pkt.payload = pkt.payload:sub(1, -2) .. part .. #names end)
    """
    path, part, names = place.file("k/rules.lua", text), place.file("k/part.lua", 'return "p"'), place.file("k/names.txt", "one.example\n")
    with lab(path, "--time-limit", "300") as running:
        assert passes(running) == ["xp1"]
        names.unlink()
        save(part, 'return "q"')
        save(path, "local x = = 1\n")
        running.wait_for("is not loaded anew: the script that runs goes on")
        running.left.send(packet("x", sport=7))
        running.wait_for("; the script is started afresh, as it was when it was loaded$")
        assert passes(running) == ["xp1"]
        os.kill(lab_tools.child(supervisor(running), "tunfilter"), signal.SIGKILL)
        running.wait_for("ended by signal 9 .*; the script is started afresh, as it was")
        assert passes(running) == ["xp1"]
        save(names, "one.example\ntwo.example\n")
        save(path, text)
        running.wait_for("is loaded anew")
        assert passes(running) == ["xq2"]
        os.kill(lab_tools.child(supervisor(running), "tunfilter"), signal.SIGKILL)
        running.wait_for("the script is started afresh$")
        assert passes(running) == ["xq2"]
    assert running.status == 0


@pytest.mark.parametrize("how", ["emptied", "removed"])
def test_a_file_that_is_being_written(place, lab, how):
    """An editor empties it, or takes it away, before it writes it: that is not a script that forwards everything."""
    path = place.script(marks("1"))
    with lab(path) as running:
        assert passes(running) == ["x1"]
        path.write_text("") if how == "emptied" else path.unlink()
        running.wait_for("is empty, or gone: it is not loaded, the script that runs goes on")
        assert passes(running) == ["x1"]
        if how == "emptied":
            os.kill(supervisor(running), signal.SIGHUP)
            harness.wait_until(lambda: running.stderr.count("is empty") == 2)
        assert passes(running) == ["x1"]
        path.write_text(marks("2"))
        running.wait_for("is loaded anew")
        assert passes(running) == ["x2"]
    assert running.stderr.count("loaded anew") == 1


def test_a_folder_that_is_replaced(place, lab):
    path = place.file("f/rules.lua", marks("1"))
    with lab(path) as running:
        assert passes(running) == ["x1"]
        os.rename(path.parent, place.path / "old")
        place.file("f/rules.lua", marks("2"))
        running.wait_for("is loaded anew")
        assert passes(running) == ["x2"]
        save(path, marks("3"))
        harness.wait_until(lambda: running.stderr.count("is loaded anew") == 2)
        assert passes(running) == ["x3"]


def test_a_newer_change_ends_a_trial(place, lab):
    """Of a script that never comes back from its start, and that nobody's limit ends."""
    path = place.script(marks("1"))
    with lab(path, "--time-limit", "0") as running:
        assert passes(running) == ["x1"]
        save(path, HEADER + "while true do end\n")
        running.wait_for("is being tried: the script that runs goes on meanwhile")
        assert passes(running) == ["x1"]
        save(path, marks("2"))
        running.wait_for("is loaded anew")
        assert passes(running) == ["x2"]


def test_an_on_stop_that_does_not_come_back(place, lab):
    """It has one limit, as packets wait; the next script serves."""
    path = place.script(marks("1") + "tf.on_stop(function() while true do end end)\n")
    with lab(path, "--time-limit", "300") as running:
        assert passes(running) == ["x1"]
        save(path, marks("2"))
        running.wait_for("is loaded anew")
        assert passes(running) == ["x2"]
    assert "a function of tf.on_stop did not come back within 300 ms" in running.stderr


def test_tables_that_are_in_several_places_pass_over_once(place, lab):
    """Forty times two of the one before, and one that is in itself."""
    text = HEADER + """
    if not tf.keep.deep then
       local deep, ring = { 1 }, { name = "ring" }
       for i = 1, 40 do deep = { deep, deep } end
       ring.ring = ring
       tf.keep.deep, tf.keep.ring, tf.keep.again, tf.keep.no = deep, ring, { ring }, { { ring, print } }
    end
    tf.on_packet("udp", function(pkt)
       local deep, same = tf.keep.deep, true
       while type(deep[1]) == "table" do
          same = same and deep[1] == deep[2]
          deep = deep[1]
       end
       same = same and tf.keep.ring.ring == tf.keep.ring and tf.keep.again[1] == tf.keep.ring
       pkt.payload = ("%%s %%s %%s"):format(same, tf.keep.ring.name, "%s")
       tf.keep.ring.name = "other"
    end)
    """
    path = place.script(text % "1")
    with lab(path) as running:
        assert passes(running, "x" * 20) == ["true ring 1"]
        save(path, text % "2")
        running.wait_for("is loaded anew")
        assert passes(running, "x" * 20) == ["true other 2"]
    assert "did not come back" not in running.stderr


def test_what_takes_too_long_to_copy(place, lab):
    """The reload is given up, not the script that runs."""
    text = marks("%s") + "if not tf.keep.many then tf.keep.many = {} for i = 1, 2e6 do tf.keep.many[i] = i end end\n"
    path = place.script(text % "1")
    with lab(path, "--time-limit", "300", "--memory-limit", "0") as running:
        assert passes(running) == ["x1"]
        save(path, text % "2")
        running.wait_for("tf.keep is not handed over: .*takes too long to copy")
        running.wait_for("is not loaded anew: the script that runs goes on")
        assert passes(running) == ["x1"]
    assert running.status == 0 and "afresh" not in running.stderr


def test_a_worker_that_stands_still_in_a_reload(place, lab):
    path = place.script(marks("1"))
    with lab(path, "--time-limit", "50") as running:
        assert passes(running) == ["x1"]
        pid = supervisor(running)
        os.kill(lab_tools.child(pid, "tunfilter"), signal.SIGSTOP)
        save(path, marks("2"))
        running.left.send(packet("w"))
        running.wait_for("the worker stood still, and was ended; the script is started afresh", 60)
        running.wait_for("is loaded anew", 60)
        assert len(running.right.receive(1, timeout=20)) == 1
        assert passes(running) == ["x2"]
    assert running.status == 0


def test_a_script_without_a_callback(place, lab):
    path = place.script(HEADER)
    words = "%s registers no callback .*: every packet is forwarded" % path
    with lab(path) as running:
        running.wait_for("warning: " + words)
        save(path, marks("2"))
        running.wait_for("loaded anew")
        assert len(re.findall(words, running.stderr)) == 1
        save(path, HEADER + "-- nothing\n")
        harness.wait_until(lambda: len(re.findall(words, running.stderr)) == 2)
    capture = place.path / "empty.pcap"
    capture.write_bytes(bytes.fromhex("d4c3b2a1020004000000000000000000ffff000065000000"))
    assert re.search(words, harness.run(place, "replay", path, capture).stderr)


def test_a_script_that_is_a_link_into_another_folder(place, lab):
    """It is read where it lies, as are modules there and beside the link; a save there is noticed."""
    real, part = place.file("real/rules.lua", marks("1") + 'require "part" require "other"\n'), place.file("real/part.lua", "")
    other = place.file("links/other.lua", "")
    path = other.with_name("rules.lua")
    path.symlink_to("../real/rules.lua")
    with lab(path) as running:
        assert passes(running) == ["x1"]
        save(real, marks("2") + 'require "part" require "other"\n')
        running.wait_for("is loaded anew")
        assert passes(running) == ["x2"]
        save(part, "error 'seen'\n")
        running.wait_for("part.lua:1: seen")
        assert passes(running) == ["x2"]
