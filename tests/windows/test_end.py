"""How a run ends: Ctrl-C, a window that is closed, a machine or a service that stops; and what is left then: nothing."""

import contextlib
import re
import time

import pytest

import captures
import harness
import wine
from test_faults import packet

EVENT = wine.BUILD / "tests/windows/standin/event.exe"
WINDOW_CLOSED, LOG_OFF, SHUTDOWN = 2, 5, 6

STOPS = """
local tf = require "tunfilter"
tf.on_packet(function(pkt) return pkt:hold(3600) end)
tf.on_stop(function() tf.log "stops" end)
"""


def test_ctrl_c(folder):
    """on_stop is called and the table printed; the stand-in would complain of anything that is left."""
    with wine.Run(folder, STOPS, "--capture", "end.pcapng") as program:
        program.left.send(packet(1))
        harness.wait_until(lambda: program.left.stat()["received"] == 1)
    assert program.status == 0 and "stops" in program.stderr, program.stderr
    assert program.table()["held"] == [1, 0] and program.stderr.count("wintun: Removed adapter") == 2
    assert [record.data for record in captures.read(folder.path / "end.pcapng")] == [packet(1)]


def test_ctrl_c_before_it_has_begun(folder):
    with wine.Run(folder, harness.PASS, ready=False) as program:
        pass
    assert program.process.returncode != 99, program.stderr


def test_a_script_that_does_not_come_back(folder):
    rules = 'local tf = require "tunfilter"\ntf.on_packet(function() while true do end end)'
    with wine.Run(folder, rules, "--time-limit", "0") as program:
        program.left.send(packet(1))
        harness.wait_until(lambda: program.left.stat()["received"] == 1)
    assert program.status == 1 and "does not come back" in program.stderr, program.stderr


@pytest.mark.parametrize("event", [WINDOW_CLOSED, LOG_OFF, SHUTDOWN])
def test_what_the_system_waits_for(folder, event):
    """The system ends the process when the event's handler returns: not before the run has ended."""
    now = folder.path / "now"
    now.unlink(missing_ok=True)
    with wine.Run(folder, STOPS, prefix=(EVENT, event, "now")) as program:
        program.left.send(packet(1))
        harness.wait_until(lambda: program.left.stat()["received"] == 1)
        now.touch()
        program.process.wait(60)
    assert program.status == 0 and "stops" in program.stderr, program.stderr
    assert program.stderr.count("wintun: Removed adapter") == 2


def test_a_service(folder):
    """Created, started and stopped with the system's own tool."""
    rules = folder.script('''
        local tf = require "tunfilter"
        local function note(word) local file = assert(io.open([[%s]], "a")) file:write(word, " ") file:close() end
        tf.on_start(function() note "started" end)
        tf.on_stop(function() note "stopped" end)''' % folder.path.joinpath("notes"))
    notes = folder.path / "notes"
    name, said = None, []

    def sc(*words):
        said.append(wine.run(folder, *words, program="sc"))
        return said[-1]

    def started():
        return notes.exists() and "started" in notes.read_text()

    try:
        for attempt in range(3):  # wine gives a service 10 s to say who it is, which a busy machine may not
            name = "tunfilter-test-%d" % time.monotonic_ns()
            command = "%s run %s --unsafe --left tun:left%d --right tun:right%d" % (folder.program, rules, attempt, attempt)
            assert sc("create", name, "binPath=", command).returncode == 0, said
            sc("start", name)
            with contextlib.suppress(AssertionError):
                harness.wait_until(started, 25)
                break
            sc("query", name), sc("stop", name), sc("delete", name)
        assert started(), said
        sc("stop", name)
        harness.wait_until(lambda: "stopped" in notes.read_text(), 60, lambda: said)
        harness.wait_until(lambda: re.search(rb"STATE.*: 1\b|STOPPED", sc("query", name).stdout), 60, lambda: said)
    finally:
        sc("stop", name)
        sc("delete", name)
