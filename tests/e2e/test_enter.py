"""`tunfilter enter`: one more command on a host of a running lab."""

import os
import signal
import subprocess

import pytest

import harness
import lab_tools

LOOP = "exec sleep 1000"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def lab(place):
    with lab_tools.start(place, LOOP) as program:
        yield program


def enter(place, lab, side, *command, **how):
    return harness.run(place, "enter", side, "--lab", lab.lab, "--", *command, **how)


@pytest.mark.parametrize("side, address", [("left", "10.77.0.1"), ("right", "10.77.0.2")])
def test_a_host(place, lab, side, address):
    other = {"left": "right", "right": "left"}[side]
    result = enter(place, lab, side, "sh", "-c", "hostname; id -u; readlink /proc/self/ns/pid; "
                   "ip -o -4 address show dev tun0; ping -c1 -W5 %s" % other)
    assert result.returncode == 0, result.stdout + result.stderr
    name, user, namespace, addresses = result.stdout.split("\n")[:4]
    assert (name, user, namespace) == (side, lab_tools.USER, lab_tools.pid_namespace(lab.lab))
    assert " %s/24 " % address in addresses
    assert " 0% packet loss" in result.stdout


@pytest.mark.parametrize("command, status", [
    (["sh", "-c", "exit 42"], 42),
    (["sh", "-c", "kill -TERM $$"], 128 + 15),
    (["no-such-program"], 127),
])
def test_status(place, lab, command, status):
    assert enter(place, lab, "right", *command).returncode == status


def test_the_lab_is_also_known_by_the_command_that_was_started(place, lab):
    result = harness.run(place, "enter", "right", "--lab", lab.pid, "--", "hostname")
    assert (result.returncode, result.stdout) == (0, "right\n"), result.stderr


def test_the_folder_is_kept(place, lab):
    assert enter(place, lab, "left", "pwd").stdout == "%s\n" % place.path


def test_it_ends_with_the_lab(place, lab):
    with harness.Program(place, place.program, "enter", "right", "--lab", lab.lab, "--", "sh", "-c",
                         "echo entered >&2; exec sleep 1000") as entered:
        entered.wait_for("entered")
        lab.signal(signal.SIGTERM)
        assert entered.end() == 128 + signal.SIGKILL
        assert "when its lab ends" in entered.stderr
    assert lab.end() == 128 + signal.SIGTERM


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_signals_reach_the_command_and_not_the_lab(place, lab, name):
    number = getattr(signal, name)
    namespace = lab_tools.pid_namespace(lab.lab)
    before = lab_tools.inhabitants(namespace)
    with harness.Program(place, place.program, "enter", "right", "--lab", lab.lab, "--", "sh", "-c",
                         "echo entered >&2; exec sleep 1000") as entered:
        entered.wait_for("entered")
        entered.signal(number)
        assert entered.end() == (-9 if name == "SIGKILL" else 128 + number)
    harness.wait_until(lambda: lab_tools.inhabitants(namespace) == before)
    assert lab.process.poll() is None


def test_from_a_lab_s_own_shell(place):
    script = place.script(harness.PASS)
    result = harness.run(place, "lab", script, "--", place.program, "enter", "right", "--", "sh", "-c",
                         "hostname; exit 8")
    assert (result.returncode, result.stdout) == (8, "right\n"), result.stderr


def test_an_interactive_shell(place, lab):
    with lab_tools.Terminal(place, "sh", "-c", '"$@"; echo "status $?"; read line; echo "read $line"', "sh",
                            place.program, "enter", "right", "--lab", lab.lab, shell="/bin/bash") as terminal:
        terminal.wait_for(r"[$#>] $")
        terminal.type("hostname\n")
        terminal.wait_for("^right$")
        terminal.type("sh -c 'echo ready; exec sed -u s/^/back:/'\n")
        terminal.wait_for("ready$")
        terminal.type("\x1a")
        terminal.wait_for("Stopped")
        terminal.type("fg\n")
        terminal.wait_for("sh -c .*back:")
        terminal.type("x\n")
        terminal.wait_for("back:x$")
        terminal.type("\x03")
        terminal.wait_for(r"[$#>] $")
        terminal.type("exit 5\n")
        terminal.wait_for("status 5$")
        terminal.type("something\n")
        terminal.wait_for("^read something$")
        assert terminal.end() == 0
    assert lab.process.poll() is None


def test_ctrl_c_is_the_commands(place, lab):
    with lab_tools.Terminal(place, place.program, "enter", "right", "--lab", lab.lab, "--", "sh", "-c",
                            "trap 'echo got it; exit 9' INT; echo up; read line") as terminal:
        terminal.wait_for("up")
        terminal.type("\x03")
        terminal.wait_for("got it")
        assert terminal.end() == 9


def test_no_such_lab(place):
    result = harness.run(place, "enter", "right", "--lab", os.getpid(), "--", "true")
    assert result.returncode == 3
    assert "no lab has the process id %d" % os.getpid() in result.stderr


@needs_root
def test_root_enters_a_users_lab_as_that_user(place, lab):
    result = enter(place, lab, "right", "sh", "-c", "id -u; hostname; exit 4", user=False)
    assert (result.returncode, result.stdout) == (4, "%s\nright\n" % lab_tools.USER), result.stderr


@needs_root
def test_another_users_lab_is_refused(place):
    with lab_tools.start(place, LOOP, user=False) as lab:
        result = enter(place, lab, "right", "true")
        assert result.returncode == 3
        assert "another user's" in result.stderr and "sudo" in result.stderr


@needs_root
def test_which_lab(place):
    """None, one and two labs, on an island where no other test's lab is to be seen."""
    script = place.script(harness.PASS)
    island = r"""
    enter() { "$program" enter right -- hostname; echo "status $?"; }
    lab() {
        "$program" lab "$script" -- sleep 1000 2>log$1 &
        while ! grep -qs 'lab [0-9]*:' log$1; do sleep 0.05; done
        sed -n 's/.*lab \([0-9]*\):.*/pid \1/p' log$1
    }
    enter; lab 1; enter; lab 2; enter
    """
    result = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", island],
        env=dict(place.environment(), program=str(place.program), script=str(script)), cwd=place.path,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=True)
    lines = result.stdout.splitlines()
    pids = [line.split()[1] for line in lines if line.startswith("pid ")]
    assert lines[0].startswith("tunfilter: error: no lab runs; `tunfilter lab RULES.lua`")
    assert lines[1:5] == ["status 3", "pid " + pids[0], "right", "status 0"]
    assert "several labs run: %s %s; say which with --lab PID" % tuple(pids) in lines[6]
    assert lines[7:] == ["status 3"]
