"""Commands without devices end where a script does not come back."""

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
                                        "Bail out! A script did not come back"]
    assert "%s:2 did not come back within 300 ms" % script in done.stderr


@pytest.mark.parametrize("limit", ["0", "1000"])
def test_what_takes_its_time_and_comes_back(place, limit):
    """Timers and packets beyond number are no single call; without a limit nobody looks at all."""
    script = place.script(HEADER + "local n = 0\ntf.every(0.01, function() n = n + 1 end)\n")
    done = harness.run(place, "replay", script, capture(place), "--time-limit", limit)
    assert done.returncode == 0, done.stderr
