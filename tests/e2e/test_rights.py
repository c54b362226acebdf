"""Who the process is that runs the script, and what it may do: by what the kernel says of it."""

import os
import pwd
import re
import signal

import pytest

import harness
import lab_tools

USER = "nobody"
MARK = 'local tf = require "tunfilter"\ntf.log("loaded")\n'

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def status_of(pid):
    """What /proc tells of a process: name -> words."""
    with open("/proc/%d/status" % pid, encoding="ascii") as lines:
        return {name: words.split() for name, _, words in (line.partition(":") for line in lines)}


def worker(supervisor):
    return int(open("/proc/%d/task/%d/children" % (supervisor, supervisor), encoding="ascii").read().split()[-1])


def is_confined(status, uid, gid, groups):
    assert status["Uid"] == [str(uid)] * 4 and status["Gid"] == [str(gid)] * 4
    assert status["Groups"] == [str(group) for group in groups]
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name][0], 16) == 0, name
    assert status["NoNewPrivs"] == ["1"]
    assert harness.SANITIZED or status["Seccomp"] == ["2"]


@pytest.mark.parametrize("how", ["--user", "SUDO_UID", "neither"])
def test_who_the_script_runs_as(place, monkeypatch, how):
    """Each process that runs it: the first, one that was started afresh, one after a reload."""
    entry = pwd.getpwnam("root" if how == "neither" else USER)
    if how == "SUDO_UID":
        monkeypatch.setenv("SUDO_UID", str(entry.pw_uid))
    else:
        monkeypatch.delenv("SUDO_UID", raising=False)
    options = ["--user", USER] if how == "--user" else []
    who = (entry.pw_uid, entry.pw_gid,
           sorted(os.getgrouplist(USER, entry.pw_gid)) if how != "neither" else os.getgroups())
    with lab_tools.start(place, "exec sleep 1000", "-v", *options, rules=MARK, user=False) as lab:
        supervisor = lab_tools.child(lab.lab, "tunfilter")
        assert "the script runs as %s, without capabilities" % entry.pw_name in lab.stderr
        is_confined(status_of(worker(supervisor)), *who)
        first = worker(supervisor)
        os.kill(first, signal.SIGKILL)
        lab.wait_for("started afresh")
        harness.wait_until(lambda: lab.stderr.count("\tloaded") + lab.stderr.count(" loaded") >= 2)
        lab.signal(signal.SIGUSR1)  # it answers: it serves
        lab.wait_for("^in ")
        is_confined(status_of(worker(supervisor)), *who)
        os.kill(supervisor, signal.SIGHUP)
        lab.wait_for("is loaded anew")
        is_confined(status_of(worker(supervisor)), *who)


def test_unsafe_is_the_user_all_the_same(place):
    """No capabilities, and none to be had: also for a program that it starts as root."""
    with lab_tools.start(place, "exec sleep 1000", "--unsafe", "--user", USER, user=False,
                         rules="os.execute 'id -u >&2; grep Cap /proc/self/status >&2'\n") as lab:
        assert re.search("^%d$" % pwd.getpwnam(USER).pw_uid, lab.stderr, re.M)
        assert re.findall(r"^Cap\w+:\s(\w+)$", lab.stderr, re.M) == ["0" * 16] * 5


def test_users_that_are_none(place, monkeypatch):
    script = place.script(harness.PASS)
    done = harness.run(place, "lab", script, "--user", "no-such-user", "--", "true", user=False)
    assert done.returncode == 2 and "there is no user 'no-such-user'" in done.stderr
    monkeypatch.setenv("SUDO_UID", "54321")
    done = harness.run(place, "lab", script, "--", "true", user=False)
    assert done.returncode == 2 and "SUDO_UID is 54321" in done.stderr
    # Root of a user namespace that has no other user is whoever made it. (--foreground: a signal for the whole group
    # can meet the worker while a sanitizer looks for leaks, which it then never ends.)
    done = harness.run(place, "run", script, "--left", "tun:tfa", "--right", "tun:tfb", prefix=[*harness.IN_NAMESPACE, "timeout", "--foreground", "0.5"])
    assert "SUDO_UID" not in done.stderr and "tfa (tun)" in done.stderr
    done = harness.run(place, "lab", script, "--user", "root", "--", "true")
    assert done.returncode == 2 and "only root can become 'root'" in done.stderr
