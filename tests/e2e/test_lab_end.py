"""How a lab ends: signals, kills, a terminal's keys; and that nothing is left, whatever it was."""

import os
import re
import signal

import pytest

import harness
import lab_tools

# Says which signals come; ends with status 9 some time after the first, and says how many came.
CATCHER = """
import os, signal, sys, time
def got(number, _):
    global count
    count += 1
    sys.stderr.write("got %s\\n" % signal.Signals(number).name)
count = 0
for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(s, got)
sys.stderr.write("catching\\n")
while not count:
    time.sleep(0.05)
end = time.monotonic() + 0.7
while time.monotonic() < end:
    time.sleep(0.05)
sys.stderr.write("in all %d\\n" % count)
sys.exit(9)
"""
HANG = 'local tf = require "tunfilter"\ntf.on_packet(function() while true do end end)\n'


@pytest.fixture
def catcher(place):
    return "exec %s %s" % (harness.sys.executable, place.file("catcher.py", CATCHER))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_to_the_program_reaches_the_command(place, catcher, name):
    with lab_tools.start(place, catcher, *(["--no-reload"] if name == "SIGHUP" else [])) as lab:
        lab.wait_for("catching")
        lab.signal(getattr(signal, name))
        assert lab.end() == 9
        assert "got " + name in lab.stderr and "in all 1\n" in lab.stderr


def test_a_signal_that_ends_the_command_is_its_status(place):
    with lab_tools.start(place, "exec sleep 1000") as lab:
        lab.signal(signal.SIGTERM)
        assert lab.end() == 128 + signal.SIGTERM


def test_a_command_that_will_not_end_is_killed(place):
    with lab_tools.start(place, "trap '' TERM; while :; do sleep 1; done") as lab:
        lab.signal(signal.SIGTERM)
        assert lab.end() == 128 + signal.SIGKILL


def test_ignored_signals_stay_ignored(place):
    script = place.script(harness.PASS)
    with harness.Program(place, "nohup", place.program, "lab", script, "--", "sh", "-c",
                         "grep SigIgn /proc/self/status >&2; echo up >&2; exec sleep 1000") as lab:
        lab.wait_for("up")
        assert int(re.search(r"SigIgn:\s*(\w+)", lab.stderr)[1], 16) & 1  # SIGHUP
        lab.signal(signal.SIGHUP)
        lab.signal(signal.SIGUSR1)  # answered, so the first was not the end
        lab.wait_for("seconds")
        assert lab.process.poll() is None


def test_sigusr1_prints_the_table(place):
    with lab_tools.start(place, "exec sleep 1000") as lab:
        lab.signal(signal.SIGUSR1)
        lab.wait_for("^in ")
        assert lab.process.poll() is None


VICTIMS = ["program", "lab", "filter", "left"]


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_of_any_process_leaves_nothing(place, victim):
    before = lab_tools.leavings()
    with lab_tools.start(place, "sleep 1000 & setsid sleep 1000 & exec sleep 1000", "--on-right",
                         "sleep 1000 & wait") as lab:
        namespace = lab_tools.pid_namespace(lab.lab)
        assert namespace != lab_tools.pid_namespace("self")
        harness.wait_until(lambda: len(lab_tools.inhabitants(namespace)) == 8 and
                           lab_tools.children(lab.lab, "sleep"))  # the shell has become it
        pid = {"program": lambda: lab.pid, "lab": lambda: lab.lab,
               "filter": lambda: lab_tools.child(lab.lab, "tunfilter"),
               "left": lambda: lab_tools.child(lab.lab, "sleep")}[victim]()
        os.kill(pid, signal.SIGKILL)
        status = lab.end()
        assert status == {"program": -9, "lab": 3, "filter": 3, "left": 128 + 9}[victim], lab.stderr
        lab_tools.is_over(namespace)
    if victim in ("lab", "filter"):
        assert re.search("error: the %s was ended by signal 9" % victim, lab.stderr)
    assert lab_tools.leavings() == before


@pytest.mark.parametrize("when", ["top level", "callback"])
def test_a_script_that_hangs_does_not_hold_the_lab(place, when):
    if when == "callback":
        with lab_tools.start(place, "ping -c1 -W1 right; exit 4", "--time-limit", "0", rules=HANG) as lab:
            namespace = lab_tools.pid_namespace(lab.lab)
            assert lab.end() == 4
        assert "the script does not come back" in lab.stderr
    else:
        script = place.script("while true do end\n")
        with harness.Program(place, place.program, "lab", script, "--", "true") as lab:
            pid = harness.wait_until(lambda: named_lab(lab.pid))
            namespace = lab_tools.pid_namespace(pid)
            lab.signal(signal.SIGINT)
            assert lab.end() == 128 + signal.SIGINT
    lab_tools.is_over(namespace)


def named_lab(pid):
    try:
        return lab_tools.child(pid, "tunfilter-lab")
    except AssertionError:
        return None


def test_a_deleted_device_ends_the_lab(place):
    with lab_tools.start(place, "ip link delete tun0; exec sleep 1000") as lab:
        assert lab.end() == 3
        assert "the filter has ended" in lab.stderr and "tun0" in lab.stderr


def test_a_signal_to_the_whole_group_comes_as_one(place, catcher):
    with lab_tools.start(place, catcher) as lab:
        lab.wait_for("catching")
        os.killpg(lab.pid, signal.SIGTERM)
        assert lab.end() == 9
        assert "seconds" in lab.stderr  # the table: it was no kill at once


# A terminal.

def test_ctrl_c_is_the_commands(place, catcher):
    script = place.script(harness.PASS)
    right = "trap 'echo right got it' INT; echo right is up; while :; do sleep 0.1; done"
    with lab_tools.Terminal(place, place.program, "lab", script, "--on-right", right, "--", "sh", "-c",
                            catcher) as terminal:
        terminal.wait_for("catching")
        terminal.type("\x03")
        assert terminal.end() == 9
        assert "got SIGINT" in terminal.text and "in all 1\n" in terminal.text
        assert "right got it" not in terminal.text
        assert "seconds" in terminal.text  # the filter ended in order


def test_ctrl_c_that_the_command_ignores(place):
    script = place.script(harness.PASS)
    with lab_tools.Terminal(place, place.program, "lab", script, "--", "sh", "-c",
                            "trap 'echo one more' INT; echo up; read line; echo $line; read line; exit 6",
                            ) as terminal:
        terminal.wait_for("up")
        terminal.type("\x03")
        terminal.wait_for("one more")
        terminal.type("x\nx\n")
        assert terminal.end() == 6


def test_ctrl_c_before_the_command_runs_ends_the_lab(place):
    script = place.script("while true do end\n")
    with lab_tools.Terminal(place, place.program, "lab", script) as terminal:
        pid = harness.wait_until(lambda: named_lab(terminal.pid))
        namespace = lab_tools.pid_namespace(pid)
        terminal.type("\x03")
        assert terminal.end() == 128 + signal.SIGINT
    lab_tools.is_over(namespace)


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/dash", "/bin/sh"])
def test_a_shell_has_job_control(place, shell):
    if not os.path.exists(shell):
        pytest.skip("no " + shell)
    script = place.script(harness.PASS)
    with lab_tools.Terminal(place, "sh", "-c", '"$@"; echo "status $?"; read line; echo "read $line"', "sh",
                            place.program, "lab", "-q", script, shell=shell) as terminal:
        terminal.wait_for(r"[$#>] $")
        terminal.type("hostname\n")
        terminal.wait_for("^left$")
        terminal.type("sh -c 'echo ready; exec sed -u s/^/back:/'\n")
        terminal.wait_for("ready$")
        terminal.type("\x1a")
        terminal.wait_for("Stopped")
        terminal.type("jobs\n")
        terminal.wait_for("Stopped.*back:")
        terminal.type("fg\n")
        terminal.wait_for("sh -c .*back:")
        terminal.type("x\n")
        terminal.wait_for("back:x$")
        terminal.type("\x03")
        terminal.wait_for(r"[$#>] $")
        terminal.type("ping -c1 right\n")
        terminal.wait_for(" 0% packet loss")
        terminal.type("exit 5\n")
        terminal.wait_for("status 5$")
        terminal.type("something\n")  # the terminal is the caller's again
        terminal.wait_for("^read something$")
        assert terminal.end() == 0


def test_ctrl_z_stops_the_command_and_gives_the_callers_shell_the_terminal(place):
    script = place.script(harness.PASS)
    with lab_tools.Terminal(place, "bash", "--norc", "-i") as terminal:
        terminal.wait_for(r"[$#>] $")
        terminal.type("PS1='prompt> '\n")
        terminal.wait_for("^prompt> $")
        terminal.type("%s lab -q %s -- sh -c 'echo up; exec sed -u s/^/back:/'\n" % (place.program, script))
        terminal.wait_for("up$")
        terminal.type("\x1a")
        terminal.wait_for("Stopped")
        terminal.wait_for("prompt> $")
        terminal.type("fg\n")
        terminal.wait_for("tunfilter lab")
        terminal.type("x\n")
        terminal.wait_for("back:x")
        terminal.type("\x03")
        terminal.wait_for("prompt> $")
        terminal.type("echo status $?\n")
        terminal.wait_for("^status 130$")
        terminal.type("exit\n")
        assert terminal.end() == 0


def test_the_terminal_is_the_callers_after_a_kill(place):
    script = place.script(harness.PASS)
    with lab_tools.Terminal(place, "sh", "-c", '"$@"; echo "status $?"; stty -a; read line; echo "read $line"',
                            "sh", place.program, "lab", script, shell="/bin/bash") as terminal:
        pid = int(terminal.wait_for(r"lab (\d+):")[1])
        terminal.wait_for(r"[$#>] $")
        terminal.type("stty -echo -icanon; echo $((40 + 2))\n")
        terminal.wait_for("^42$")
        os.kill(pid, signal.SIGKILL)
        terminal.wait_for("^status 3$")
        assert " icanon" in terminal.wait_for(r"(?s)speed.*iutf8.*?\n.*?\n.*?\n.*?\n")[0]
        terminal.type("something\n")
        terminal.wait_for("^read something$")
        assert terminal.end() == 0


def test_a_closed_terminal_ends_the_lab(place):
    script = place.script(harness.PASS)
    terminal = lab_tools.Terminal(place, place.program, "lab", script, "--", "sleep", "1000")
    namespace = lab_tools.pid_namespace(int(terminal.wait_for(r"lab (\d+):")[1]))
    os.close(terminal.fd)
    lab_tools.is_over(namespace)
    os.waitpid(terminal.pid, 0)
