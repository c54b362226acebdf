"""The path stays up whatever the script does: devices, addresses and routes as they were, a new worker behind them."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Raw

import harness
import lab_tools
import transfer

HEADER = 'local tf = require "tunfilter"\n'
LIMIT = "300"

# What the second line of a script does when it sees the word.
ENDLESS = {
    "an empty loop": "while true do end",
    "a compiled loop": "local n = 0 for i = 1, 1e15 do n = n + i % 7 end",
    "a loop in a coroutine": "coroutine.wrap(function() while true do end end)()",
    "a loop that catches its errors": "while true do pcall(error, 'x') end",
    "a pattern": "(('a'):rep(1e5)):find(('.-'):rep(10) .. 'b')",
    "a loop over packets": "while true do local p = tf.packet{ ip = {}, udp = {} } p.payload = 'x' end",
}
GREEDY = {
    "string.rep": "local s = ('x'):rep(1e9)",
    "a table": "local t = {} while true do t[#t + 1] = #t end",
    "strings": "local s = 'x' while true do s = s .. s end",
}


def packet(text, number=0):
    return bytes(IP(src="198.51.100.1", dst="203.0.113.1", id=number) / UDP(sport=9, dport=9) / Raw(text.encode()))


def rules(text):
    """A script that does this when it sees the word; the function begins on line 2."""
    return HEADER + ('tf.on_packet("udp", function(pkt)\n  if pkt.payload == "now" then\n    %s\n  end\nend)\n' % text)


def triggers(lab, text="now"):
    """The word, and when that has had its effect other packets: both sides still know each other."""
    lab.left.send(packet("before"))
    assert lab.right.receive(1, timeout=60) == [packet("before")]
    lab.left.send(packet(text))
    if text == "now":
        lab.wait_for("started afresh|stack overflow", 60)
    lab.left.send(packet("behind"))
    assert packet("behind") in lab.right.receive(1 if text == "now" else 2, timeout=60)
    lab.right.send(packet("back"))
    assert lab.left.receive(1, timeout=60) == [packet("back")]


def books(lab, errors):
    """What came in is accounted for, also what a worker had when it died."""
    table = lab.table()
    assert table["in"] == [3, 1] and table["forwarded"][1] == 1
    assert table["errors"][0] >= errors


@pytest.mark.parametrize("what", ENDLESS)
def test_a_script_that_does_not_come_back(place, lab, what):
    with lab(rules(ENDLESS[what]), "--time-limit", LIMIT) as running:
        triggers(running)
    assert running.status == 0, running.stderr
    assert re.search(r"rules\d+\.lua:2 did not come back within %s ms \(--time-limit\); the script is started afresh\n"
                     r"\tpacket 2 from left, 31 bytes: IP 198.51.100.1.9 > 203.0.113.1.9: UDP, length 3" % LIMIT,
                     running.stderr), running.stderr
    books(running, 1)


@pytest.mark.parametrize("what", GREEDY)
def test_a_script_that_wants_all_memory(place, lab, what):
    with lab(rules(GREEDY[what]), "--memory-limit", "32", "--time-limit", "0") as running:
        triggers(running)
    assert running.status == 0, running.stderr
    assert re.search(r"rules\d+\.lua:2 wants more memory than the script may have \(--memory-limit\); the script is "
                     r"started afresh\n\tpacket 2 from left", running.stderr), running.stderr
    books(running, 1)


@pytest.mark.skipif(harness.SANITIZED, reason="a sanitizer has much memory of its own")
def test_native_code_that_wants_all_memory(place, lab):
    """Nobody counts it, and it grows at leisure: who has several times what is allowed is ended."""
    script = HEADER + """local ffi = require "ffi"
    ffi.cdef "void *malloc(size_t); void *memset(void *, int, size_t);"
    local grows
    tf.every(0.01, function() if grows then ffi.C.memset(ffi.C.malloc(8e6), 1, 8e6) end end)
    tf.on_packet("udp", function(pkt) grows = grows or pkt.payload == "now" end)
    """
    with lab(script, "--unsafe", "--memory-limit", "32", "--time-limit", LIMIT) as running:
        running.left.send(packet("now"))
        assert running.right.receive(1, timeout=60) == [packet("now")]
        running.wait_for("afresh", 60)
        running.left.send(packet("behind"))
        assert running.right.receive(1, timeout=60) == [packet("behind")]
    assert re.search(r"rules\d+\.lua wants more memory than the script may have \(--memory-limit\); the script is started afresh$",
                     running.stderr, re.M), running.stderr


def test_recursion_is_an_error_like_any_other(place, lab):
    with lab(rules("local function f() return 1 + f() end f()"), "--time-limit", "0") as running:
        triggers(running)
    assert "stack overflow" in running.stderr and "afresh" not in running.stderr


@pytest.mark.skipif(harness.SANITIZED, reason="a sanitizer takes the signals for itself")
def test_a_crash_in_native_code(place, lab):
    text = "local ffi = require 'ffi' ffi.cast('int *', 8)[0] = 1"
    with lab(rules(text), "--unsafe", "--time-limit", "0") as running:
        triggers(running)
    assert re.search(r"rules\d+\.lua:2: the worker was ended by signal 11 \(Segmentation fault\); the script is started "
                     r"afresh\n\tpacket 2 from left", running.stderr), running.stderr
    books(running, 1)


def test_a_callback_that_waits_without_working(place, lab):
    with lab(rules("os.execute 'sleep 1000'"), "--unsafe", "--time-limit", LIMIT) as running:
        triggers(running)
    assert re.search(r"rules\d+\.lua:2 did not come back within %s ms" % LIMIT, running.stderr), running.stderr


STOPS = "require('ffi').cdef 'int raise(int);' require('ffi').C.raise(%d)" % signal.SIGSTOP


@pytest.mark.parametrize("what", ["goes on", "does not"])
def test_a_callback_that_gets_no_processor(place, lab, what):
    """It is late without a fault of its own: it has five limits' time."""
    with lab(rules(STOPS), "--unsafe", "--time-limit", "1000" if what == "goes on" else "100") as running:
        if what == "goes on":
            running.left.send(packet("now"))
            worker = worker_of(lab_tools.child(lab_tools.child(running.pid, "tunfilter-lab"), "tunfilter"))
            harness.wait_until(lambda: open("/proc/%d/stat" % worker).read().rpartition(") ")[2][0] == "T")
            time.sleep(1.7)
            os.kill(worker, signal.SIGCONT)
            assert running.right.receive(1, timeout=60) == [packet("now")]
        else:
            triggers(running)
            assert "did not come back within 100 ms" in running.stderr
    assert ("afresh" in running.stderr) == (what == "does not"), running.stderr


def serving(running):
    """The worker of a lab."""
    return worker_of(lab_tools.child(lab_tools.child(running.pid, "tunfilter-lab"), "tunfilter"))


def test_a_worker_that_stands_still(place, lab):
    """Between two packets, where no script is to blame; what waits is passed on by the next one."""
    with lab(harness.PASS, "--time-limit", "100") as running:
        running.left.send(packet("a"))
        assert running.right.receive(1, timeout=60) == [packet("a")]
        os.kill(serving(running), signal.SIGSTOP)
        running.left.send(packet("b"))
        assert running.right.receive(1, timeout=60) == [packet("b")]
        running.wait_for(": the worker stood still, and was ended; the script is started afresh$")
        running.right.send(packet("c"))
        assert running.left.receive(1, timeout=60) == [packet("c")]
    assert running.status == 0


@pytest.mark.parametrize("how", ["by a signal", "by native code"])
def test_a_worker_that_ends_unasked(place, lab, how):
    text = "require('ffi').cdef 'void _exit(int);' require('ffi').C._exit(0)"
    with lab(rules(text), "--unsafe") as running:
        if how == "by a signal":
            running.left.send(packet("before"))
            assert running.right.receive(1, timeout=60) == [packet("before")]
            os.kill(serving(running), signal.SIGALRM)
        else:
            running.left.send(packet("now"))
        running.wait_for(r": the worker ended, which nobody had asked for, with exit status %d; the script is started afresh"
                         % (how == "by a signal"))
        running.left.send(packet("behind"))
        assert running.right.receive(1, timeout=60) == [packet("behind")]
    assert running.status == 0


@pytest.mark.parametrize("fault", ["a hang", "a crash"])
def test_a_second_worker(place, lab, fault):
    """What its callback was at is found on its thread, whichever it is."""
    if fault == "a crash" and harness.SANITIZED:
        pytest.skip("a sanitizer takes the signals for itself")
    text = {"a hang": "while true do end", "a crash": "require('ffi').cast('int *', 8)[0] = 1"}[fault]
    script = HEADER + "tf.on_packet('udp', function(pkt)\n  if tf.worker == 1 then return end\n  %s\nend)\n" % text
    with lab(script, "--workers", 2, "--unsafe", "--time-limit", LIMIT) as running:
        for number in range(64):  # flows
            running.left.send(bytes(IP(src="198.51.100.1", dst="203.0.113.1") / UDP(sport=9 + number, dport=9)))
        running.wait_for("afresh", 60)
    assert re.search(r"rules\d+\.lua:2.* the script is started afresh\n\tpacket \d+ from left, 28 bytes: IP 198.51.100.1",
                     running.stderr), running.stderr


def test_a_timer(place, lab):
    script = HEADER + "local first = not tf.args.second\ntf.on_packet(function(pkt)\n" \
        "  if pkt.ip and pkt.payload == 'now' then tf.after(0.01, function()\n    while true do end\n  end) end\nend)\n"
    with lab(script, "--time-limit", LIMIT) as running:
        running.left.send(packet("now"))
        assert running.right.receive(1, timeout=60) == [packet("now")]
        running.wait_for("afresh", 60)
        triggers(running, "after")
    assert re.search(r"rules\d+\.lua: a timer's function did not come back within %s ms.*\n\tit was last seen at \S+:5$"
                     % LIMIT, running.stderr, re.M), running.stderr


# The same, as one sees it who pings; ping -s 101 is the word.
LISTED = {**{what: ENDLESS[what] for what in ("an empty loop", "a compiled loop", "a loop in a coroutine", "a pattern")},
          **{what: GREEDY[what] for what in ("string.rep", "a table")},
          "recursion": "local function f() return 1 + f() end f()"}
SEES = {"string.rep": "wants more memory .*started afresh", "recursion": "stack overflow",
        "a table": "(wants more memory|did not come back) .*started afresh"}


@pytest.mark.parametrize("what", LISTED)
def test_a_ping_resumes(place, what):
    """Beside a ping that goes on all the time; addresses and routes of both hosts are what they were."""
    rules = HEADER + "tf.on_packet('icmp', function(pkt)\n  if #pkt.payload == 101 then\n    %s\n  end\nend)\n" % LISTED[what]
    look = "(ip -o addr; ip route show table all; nsenter --net=/proc/1/fd/101 sh -c 'ip -o addr; ip route show table all')"
    with lab_tools.start(place, "%s > before; ping -i 0.2 right >&2 & ping -c 1 -W 1 -s 101 right >&2; read line < %s; "
                         "%s > after; exit 5" % (look, place_fifo(place), look), "--memory-limit", "64", "--time-limit", LIMIT,
                         rules=rules) as lab:
        lab.wait_for(r"rules\d+\.lua:[24].* %s" % SEES.get(what, "did not come back within .*started afresh"), 60)
        seen = len(lab.stderr)
        harness.wait_until(lambda: len(re.findall("64 bytes from .*icmp_seq", lab.stderr[seen:])) > 1, 60)
        with open(place.path / "go", "w") as go:
            go.write("go\n")
        assert lab.end() == 5, lab.stderr
    before, after = ((place.path / name).read_text() for name in ("before", "after"))
    assert before == after and "10.77.0.1" in before and "10.77.0.2" in before


def worker_of(pid):
    """The worker of a supervisor."""
    children = [int(word) for word in open("/proc/%d/task/%d/children" % (pid, pid)).read().split()]
    return children[0] if children else None


def test_a_kill_of_the_worker(place):
    """Addresses, routes and the lab are as before; what passes by then is not noticed by a ping."""
    with lab_tools.start(place, "ip addr; ip route; ip -6 route; echo ready >&2; read line < %s; ip addr; ip route; ip -6 "
                         "route; ping -c 1 -W 60 right" % place_fifo(place)) as lab:
        lab.wait_for("^ready")
        supervisor = lab_tools.child(lab.lab, "tunfilter")
        first = worker_of(supervisor)
        os.kill(first, signal.SIGKILL)
        harness.wait_until(lambda: worker_of(supervisor) not in (None, first))
        with open(place.path / "go", "w") as go:
            go.write("go\n")
        assert lab.end() == 0, lab.stderr
    before, after = lab.stderr.split("\nready\n")
    assert "the worker was ended by signal 9 (Killed); the script is started afresh" in after
    stable = [line.strip() for line in before.splitlines() if re.search("inet|default|dev tun0", line)]
    assert len(stable) >= 4
    for line in stable:
        assert line in after, line


def place_fifo(place):
    path = place.path / "go"
    path.unlink(missing_ok=True)
    os.mkfifo(path, 0o666)
    path.chmod(0o666)
    return path


def kill_workers(lab, times):
    """Kills the worker that serves, and the next, each when packets have passed by it."""
    supervisor = lab_tools.child(lab.lab, "tunfilter")
    for count in range(times):
        first = worker_of(supervisor)
        before = passed(lab)
        harness.wait_until(lambda: passed(lab) > before + 100, 60, lambda: "no packet passes any more")
        os.kill(first, signal.SIGKILL)
        harness.wait_until(lambda: lab.stderr.count("is started afresh") > count, 60)
        harness.wait_until(lambda: worker_of(supervisor) not in (None, first), 60)
    before = passed(lab)
    harness.wait_until(lambda: passed(lab) > before + 100, 60, lambda: "no packet passes any more")


def passed(lab):
    """How many packets were forwarded, by the table that it prints now."""
    before = len(harness.tables(lab.stderr))
    lab.signal(signal.SIGUSR1)
    found = harness.wait_until(lambda: harness.tables(lab.stderr)[before:], 60)
    return sum(found[0]["forwarded"])


def test_a_connection_outlives_workers(place):
    """All bytes arrive, whatever was in the hands of those that were killed under full load."""
    for name in ("enough", "sent", "came"):
        (place.path / name).unlink(missing_ok=True)
    tool = "%s %s " % (sys.executable, place.file("transfer.py", Path(transfer.__file__).read_text()))
    with lab_tools.start(place, "exec %s fetch right 5000 > came" % tool, "--on-right",
                         "%s serve_until 5000 enough > sent" % tool) as lab:
        kill_workers(lab, 3)
        (place.path / "enough").touch()
        assert lab.end() == 0, lab.stderr
    sent, came = ((place.path / name).read_text() for name in ("sent", "came"))
    assert sent == came and int(came.split()[1]) > 1 << 20


def test_iperf3_outlives_workers(place):
    with lab_tools.start(place, "exec iperf3 -c right -t 1000 -i 0.2 --forceflush", "--on-right", "iperf3 -s -1") as lab:
        kill_workers(lab, 2)
        before = len(lab.stderr)
        harness.wait_until(lambda: re.search(r" sec +(?!0\.00 )[\d.]+ \w", lab.stderr[before:]), 60)
        lab.signal(signal.SIGINT)
        lab.end()
    assert "the client has terminated" in lab.stderr  # not before that


@pytest.mark.parametrize("verdict", ["drop", "forward"])
def test_a_script_that_fails_again_and_again(place, lab, verdict):
    """It is given up, and every packet gets --on-error's verdict from then on, in both directions."""
    with lab(rules("while true do end"), "--time-limit", "50", "--on-error", verdict) as running:
        for _ in range(5):
            seen = running.stderr.count("did not come back")
            running.left.send(packet("now"))
            harness.wait_until(lambda: running.stderr.count("did not come back") > seen, 60)
        running.wait_for("failed 5 times in short order and is not started again: from now on every packet is %s"
                         % {"drop": "dropped", "forward": "forwarded"}[verdict])
        running.left.send(packet("now"))
        if verdict == "forward":
            assert running.right.receive(1, timeout=60) == [packet("now")]
            running.right.send(packet("back"))
            assert running.left.receive(1, timeout=60) == [packet("back")]
        else:
            running.right.receive(0)
    table = running.table()
    assert table["errors"][0] == 6 and table["forwarded"] == [0, 0]
    assert running.status == 0


def test_statistics_go_on(place, lab):
    """Counters are the run's, not the worker's."""
    with lab(rules("while true do end"), "--time-limit", LIMIT) as running:
        for text in ("a", "b"):
            running.left.send(packet(text))
        running.right.receive(2, timeout=60)
        triggers(running)
    table = running.table()
    assert table["in"] == [5, 1] and table["forwarded"] == [4, 1] and table["errors"] == [1, 0]


@pytest.mark.parametrize("where", ["load", "on_start"])
def test_a_start_that_never_ends(place, where):
    text = "while true do end" if where == "load" else "tf.on_start(function() while true do end end)"
    done = harness.run_lab(place, HEADER + text, "true", options=["--time-limit", "50"])
    assert done.returncode == 1
    words = "its top level" if where == "load" else "a function of tf.on_start"
    assert "%s did not come back within 500 ms (--time-limit)" % words in done.stderr


def test_an_end_that_never_comes(place):
    done = harness.run_lab(place, HEADER + "tf.on_stop(function() while true do end end)", "true",
                           options=["--time-limit", "50"])
    assert done.returncode == 0
    assert "a function of tf.on_stop did not come back within 100 ms" in done.stderr


def test_packets_that_were_read_together(place, lab):
    """The message says how many are lost beside the one that a callback hung on, and the table counts them."""
    script = HEADER + """tf.on_packet("udp", function(pkt)
       local behind = os.clock() + 0.3
       if pkt.payload == "first" then repeat until os.clock() > behind end
       if pkt.payload == "now" then while true do end end
    end)
    """
    with lab(script, "--time-limit", "2000", "--on-error", "forward", "--no-offload") as running:
        running.left.send(packet("first"))
        for number in range(20):
            running.left.send(packet("now" if number == 0 else "other", number))
        running.wait_for("is started afresh", 60)
        running.left.send(packet("last"))
        harness.wait_until(lambda: packet("last") in running.right.receive(1, timeout=1), 60)
    lost = re.search("\n\tlost with it, as they were read together: (\\d+) more\n", running.stderr)
    table = running.table()
    assert table["errors"][0] == (int(lost[1]) if lost else 0) + 1
    assert table["in"][0] == 22
