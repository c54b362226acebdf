"""A run that is asked to end while its script does not come back."""
import signal
import time

import pytest

import harness

HEADER = 'local tf = require "tunfilter"\n'
LOOPS = {
    "in a callback": "tf.on_packet(function() while true do end end)",
    "in a compiled callback": "local n = 0 tf.on_packet(function() for i = 1, 1e15 do n = n + i % 7 end end)",
    "in a timer": "tf.after(0.01, function() while true do end end)",
    "in on_start": "tf.on_start(function() while true do end end)",
    "in on_stop": "tf.on_stop(function() while true do end end)",
    "while it loads": "while true do end",
}


def run(place, rules):
    """The program in a namespace of its own, with a packet that comes to it after a second."""
    return harness.Program(place, *harness.IN_NAMESPACE, "sh", "-c", "(%s) & exec \"$@\"" % "sleep 1; ping -c 1 -W 1 10.1.0.2",
                           "sh", place.program, "run", place.script(HEADER + rules), "--time-limit", "0",
                           "--left", "tun:tfleft,address=10.1.0.1/24", "--right", "tun:tfright")


@pytest.mark.parametrize("where, number", [(where, signal.SIGINT) for where in LOOPS] + [("in a callback", signal.SIGTERM)])
def test_it_ends_by_one_signal(place, where, number):
    with run(place, LOOPS[where]) as program:
        time.sleep(1.5)
        program.signal(number)
        if where == "in on_stop":  # it has been heard, and may take its time: the second one ends it
            time.sleep(2.5)
            assert program.process.poll() is None
            program.signal(number)
        assert program.end() == 1
    assert "the script does not come back" in program.stderr


def test_a_second_signal_ends_it_at_once(place):
    with run(place, LOOPS["in a callback"]) as program:
        time.sleep(1.5)
        program.signal(signal.SIGINT)
        time.sleep(0.4)
        program.signal(signal.SIGINT)
        assert program.end() == 1
    assert "the script does not come back" in program.stderr


def test_two_signals_at_once_are_one_wish(place):
    with run(place, "tf.on_stop(function() tf.log('in good order') end)") as program:
        program.wait_for("left ")
        program.signal(signal.SIGTERM)
        program.signal(signal.SIGTERM)
        assert program.end() == 0
    assert "in good order" in program.stderr
    assert "does not come back" not in program.stderr
