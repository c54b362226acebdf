"""What a script may take of time and memory, in commands without devices."""

import pytest

from scapy.layers.inet import ICMP, IP, UDP

import captures
import harness

HEADER = 'local tf = require "tunfilter"\n'
LOOP = 'tf.on_packet("icmp", function(pkt)\n  local n = 0\n  while true do n = n + 1 end\nend)\n'


def capture(place):
    path = place.path / "in.pcap"
    captures.write(path, [bytes(IP(src="10.0.0.1", dst="10.0.0.2") / layer) for layer in (UDP(), ICMP())])
    return path


def test_check_of_a_script_that_never_ends_loading(place):
    script = place.script(HEADER + "while true do end\n")
    done = harness.run(place, "check", script, "--time-limit", "50")
    assert done.returncode == 1
    assert "%s: its top level did not come back within 500 ms (--time-limit)" % script in done.stderr


def test_replay(place):
    script = place.script(HEADER + LOOP)
    done = harness.run(place, "replay", script, capture(place), "--time-limit", "300")
    assert done.returncode == 1
    assert "%s:2 did not come back within 300 ms (--time-limit)\n\tpacket 2 from left, 28 bytes: IP" % script in done.stderr
    assert "ICMP echo request" in done.stderr


def test_replay_of_a_timer(place):
    script = place.script(HEADER + "tf.after(0, function() while true do end end)\n")
    done = harness.run(place, "replay", script, capture(place), "--time-limit", "300")
    assert done.returncode == 1
    assert "a timer's function did not come back within 300 ms" in done.stderr


def test_scenarios(place):
    script = place.script(HEADER + LOOP)
    scenarios = place.file("x_test.lua", """
    local tf, t = require "tunfilter", require "tunfilter.test"
    local function try(more)
       t.send(tf.left, tf.packet(more))
       t.expect(tf.right, {})
    end
    t.scenario("UDP passes", function() try{ ip = { src = "10.0.0.1", dst = "10.0.0.2" }, udp = {} } end)
    t.scenario("a ping does not", function() try{ ip = { src = "10.0.0.1", dst = "10.0.0.2" }, icmp = {} } end)
    """)
    done = harness.run(place, "test", script, scenarios, "--time-limit", "300")
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["TAP version 13", "1..2", "ok 1 - UDP passes",
                                        "Bail out! A script did not come back within 300 ms (--time-limit)"]
    assert "%s:2 did not come back within 300 ms" % script in done.stderr


@pytest.mark.parametrize("loop", ["while true do end", "while true do t.advance(1) end",
                                  "local s = {} while true do s[#s + 1] = ('x'):rep(1e6) .. #s end"])
def test_a_scenario_that_never_ends(place, loop):
    script = place.script(HEADER)
    scenarios = place.file("x_test.lua", """
    local t = require "tunfilter.test"
    t.scenario("one", function() end)
    t.scenario("loop", function()
       %s
    end)
    """ % loop)
    done = harness.run(place, "test", script, scenarios, "--time-limit", "0" if "rep" in loop else "50", "--memory-limit", "32")
    reason = "wants more memory than the script may have (--memory-limit)" if "rep" in loop else "did not come back within 500 ms (--time-limit)"
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["TAP version 13", "1..2", "ok 1 - one", "Bail out! A script " + reason]
    assert "%s: scenario 'loop' %s" % (scenarios, reason) in done.stderr, done.stderr
    if loop == "while true do end":  # of others it may be in the library
        assert "was last seen at %s:5\n" % scenarios in done.stderr, done.stderr


@pytest.mark.parametrize("limit", ["0", "1000"])
def test_what_takes_its_time_and_comes_back(place, limit):
    """Timers and packets beyond number are no single call; without a limit nobody looks at all."""
    script = place.script(HEADER + "local n = 0\ntf.every(0.01, function() n = n + 1 end)\n")
    done = harness.run(place, "replay", script, capture(place), "--time-limit", limit)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", [
    "local s = ('x'):rep(1e9)",
    "local s = 'x' while true do s = s .. s end",
    "local t = {} while true do t[#t + 1] = { #t } end",
    "local t = {} for i = 1, 1e12 do t['k' .. i] = i end",
    "local t = {} for i = 1, 1e12 do t[i] = tf.packet{ ip = {} } end",
    "local function f(a) local t = { a } return 1 + f(t) end f{}",
    "local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(1e7 + #t) end) end",
    "local t = {} coroutine.wrap(function() while true do t[#t + 1] = {} end end)()",
    # what C has of it
    "local t = {} for i = 1, 1e3 do t[i] = tf.nets{} for n = 0, 255 do t[i]:add(n .. '.0.0.0/9') end end",
    "local set = tf.names{} for i = 1, 1e9 do set:add(i .. '.example.org') end",
    "local t, netem = {}, require 'tunfilter.netem' for i = 1, 1e9 do t[i] = netem{ delay = 1, limit = 65536 } end",
])
def test_memory(place, text):
    """A script that wants more than it may have has no say in what follows."""
    script = place.script(HEADER + 'tf.on_packet("icmp", function() %s end)\n' % text)
    done = harness.run(place, "replay", script, capture(place), "--memory-limit", "32", "--time-limit", "0")
    if "1 + f" in text:  # the stack ends first
        assert done.returncode == 0 and "stack overflow" in done.stderr
        return
    assert done.returncode == 1
    assert "%s:2 wants more memory than the script may have (--memory-limit)\n\tpacket 2 from left" % script in done.stderr


@pytest.mark.parametrize("text", ["local t = {} while true do t[#t + 1] = {} end",
                                  HEADER + "while true do tf.on_packet('host 10.0.0.1 or host 10.0.0.2', function() end) end"])
def test_memory_while_it_loads(place, text):
    done = harness.run(place, "check", place.script(text + "\n"), "--memory-limit", "16", "--time-limit", "0")
    assert done.returncode == 1
    assert "its top level wants more memory" in done.stderr


def test_lists_that_are_garbage_do_not_count(place):
    text = 'tf.on_packet("udp", function() local set = tf.nets{} for n = 0, 255 do set:add(n .. ".0.0.0/9") end end)\n'
    many = place.path / "many.pcap"
    captures.write(many, [bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP())] * 200)
    done = harness.run(place, "replay", place.script(HEADER + text), many, "--memory-limit", "32")
    assert done.returncode == 0, done.stderr


def test_garbage_does_not_count(place):
    """Ten times the limit, and little of it at once."""
    text = 'local keep\ntf.on_packet("udp", function() keep = ("x"):rep(1e6) .. tf.now() end)\n'
    many = place.path / "many.pcap"
    captures.write(many, [bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP())] * 200)
    done = harness.run(place, "replay", place.script(HEADER + text), many, "--memory-limit", "64")
    assert done.returncode == 0, done.stderr
