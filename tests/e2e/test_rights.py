"""Who the process is that runs the script, and what it may do: by what the kernel says of it."""

import os
import pwd
import re
import signal
import subprocess

import pytest

import captures
import forbid
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


def files_of(pid):
    """What its descriptors are of."""
    return [os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)]


def is_confined(status, uid, gid, groups):
    assert status["Uid"] == [str(uid)] * 4 and status["Gid"] == [str(gid)] * 4
    assert status["Groups"] == [str(group) for group in groups]
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name][0], 16) == 0, name
    assert status["NoNewPrivs"] == ["1"]
    assert harness.SANITIZED or status["Seccomp"] == ["2"]


CALLERS = {"SUDO_UID": harness.NOBODY, "PKEXEC_UID": harness.NOBODY, "DOAS_USER": USER}


@pytest.fixture(autouse=True)
def nobody_called(monkeypatch):
    for name in CALLERS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("how", ["--user", *CALLERS, "neither"])
def test_who_the_script_runs_as(place, monkeypatch, how):
    """Each process that runs it: the first, one that was started afresh, one after a reload."""
    entry = pwd.getpwnam("root" if how == "neither" else USER)
    if how in CALLERS:
        monkeypatch.setenv(how, CALLERS[how])
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
    for name, value in (("DOAS_USER", "no-such-user"), ("PKEXEC_UID", "-1"), ("SUDO_UID", "0x0"), ("SUDO_UID", "54321")):
        monkeypatch.setenv(name, value)
        done = harness.run(place, "check", script, user=False)
        assert done.returncode == 2 and "%s is %s" % (name, value) in done.stderr
    done = harness.run(place, "lab", script, "--", "true", user=False)
    assert done.returncode == 2 and "SUDO_UID is 54321" in done.stderr
    # Root of a user namespace that has no other user is whoever made it. (--foreground: a signal for the whole group
    # can meet the worker while a sanitizer looks for leaks, which it then never ends.)
    done = harness.run(place, "run", script, "--left", "tun:tfa", "--right", "tun:tfb", prefix=[*harness.IN_NAMESPACE, "timeout", "--foreground", "0.5"])
    assert "SUDO_UID" not in done.stderr and "tfa (tun)" in done.stderr
    done = harness.run(place, "lab", script, "--user", "root", "--", "true")
    assert done.returncode == 2 and "only root can become 'root'" in done.stderr


def commands(place, script, *options):
    """Each way in which a script is read, but for run and lab."""
    capture = captures.write(place.path / "one.pcap", [bytes(40)])
    scenarios = place.file("scenarios/rules_test.lua", SCENARIO)
    return {"check": ["check", script, *options], "check --jit": ["check", "--jit", script, *options],
            "replay": ["replay", script, capture, *options], "test": ["test", script, scenarios, *options]}


SCENARIO = 'local t = require "tunfilter.test"\nt.scenario("it loads", function() t.advance(1) end)\n'
EVERYWHERE = ["check", "check --jit", "replay", "test"]


@pytest.mark.parametrize("command", EVERYWHERE)
def test_who_a_script_runs_as_without_devices(place, monkeypatch, command):
    entry = pwd.getpwnam(USER)
    monkeypatch.setenv("SUDO_UID", str(entry.pw_uid))
    script = place.script("while true do end\n")
    argv = commands(place, script, "--time-limit", "0")[command]
    with harness.Program(place, place.program, *argv, user=False) as program:
        last = "NoNewPrivs" if harness.SANITIZED else "Seccomp"
        harness.wait_until(lambda: status_of(program.pid)[last] != ["0"])
        is_confined(status_of(program.pid), entry.pw_uid, entry.pw_gid, sorted(os.getgrouplist(USER, entry.pw_gid)))
        program.signal(signal.SIGKILL)


@pytest.mark.parametrize("command", ["run", "lab", *EVERYWHERE])
def test_a_file_that_the_caller_may_not_read(place, monkeypatch, command):
    """Nothing of it is shown, in whatever way it is not Lua; nor is it by a link from where the script lies."""
    monkeypatch.setenv("SUDO_UID", harness.NOBODY)
    secret = place.file("secret.lua", "token = * 5\n")
    secret.chmod(0o600)
    argv = {"run": ["run", secret, "--left", "tun:tfx", "--right", "tun:tfy"], "lab": ["lab", secret, "--", "true"],
            **commands(place, secret)}[command]
    done = harness.run(place, *argv, user=False)
    assert "secret.lua: it cannot be read as user %s: Permission denied" % USER in done.stderr
    assert done.returncode == 1 and "'*'" not in done.stderr + done.stdout


@pytest.mark.skipif(harness.SANITIZED, reason="sanitized builds are not confined")
@pytest.mark.parametrize("command", EVERYWHERE)
def test_no_file_but_those_of_its_folder(place, command):
    """As a link in the folder leads to one."""
    if "(Landlock)" not in harness.run(place, "doctor").stdout:
        pytest.skip("needs Landlock")
    elsewhere = place.file("elsewhere/other.lua", "return 5\n")
    link = place.file("here/own.lua", "return 6\n").parent / "linked.lua"
    if not link.is_symlink():
        link.symlink_to(elsewhere)
    rules = place.file("here/rules.lua", 'local tf = require "tunfilter"\nassert(require "own" == 6)\nrequire "linked"\n')
    done = harness.run(place, *commands(place, rules)[command])
    assert done.returncode == 1 and re.search("there is no module 'linked'.*Permission denied", done.stderr + done.stdout)


def test_a_script_that_is_no_file(place):
    pipe = place.path / "pipe.lua"
    os.mkfifo(pipe, 0o666)
    large = place.path / "large.lua"
    with open(large, "wb") as file:
        file.truncate((16 << 20) + 1)
    large.chmod(0o644)
    for script, what in (("/dev/zero", "it is a device or a pipe, not a file"), (pipe, "it is a device or a pipe, not a file"),
                         (place.path, "it is a folder, not a file"), (large, "it is longer than the 16 MB")):
        for argv in (["lab", script, "--", "true"], *commands(place, script).values()):
            done = harness.run(place, *argv)
            assert done.returncode == 1 and "%s: %s" % (script, what) in done.stderr, (argv, done.stderr)


def test_what_is_written_is_the_callers(place, monkeypatch):
    """Where it may write, and as its file; where it may not, nothing is made."""
    monkeypatch.setenv("SUDO_UID", harness.NOBODY)
    script = place.script(harness.PASS)
    roots = place.path / "roots"
    roots.mkdir(mode=0o755)
    outputs = {"lab --capture": lambda name: ["lab", script, "--capture", name, "--", "true"],
               "replay OUT": lambda name: ["replay", script, commands(place, script)["replay"][2], name],
               "replay --capture": lambda name: [*commands(place, script)["replay"], "--capture", name],
               "test --junit": lambda name: [*commands(place, script)["test"], "--junit", name]}
    for what, argv in outputs.items():
        name = place.path / (re.sub("[^a-z]", "", what) + ".out")
        done = harness.run(place, *argv(name), user=False)
        assert done.returncode == 0, done.stderr
        assert (name.stat().st_uid, name.stat().st_gid) == (int(harness.NOBODY), pwd.getpwnam(USER).pw_gid), what
        done = harness.run(place, *argv(roots / name.name), user=False)
        assert done.returncode == 3 and re.search("(?i)permission denied", done.stderr), done.stderr
        assert "as user " + USER in done.stderr, what
        assert not list(roots.iterdir()), what


def test_what_was_open_before(place):
    """The worker has devices and channels, nothing of the caller's and no namespace."""
    if harness.SANITIZED:
        pytest.skip("sanitized builds are not confined")
    secret = place.file("open.txt", "secret")
    kept = os.open(secret, os.O_RDONLY)
    os.set_inheritable(kept, True)
    try:
        argv = [place.program, "lab", place.script(harness.PASS), "--", "sh", "-c", "echo started >&2; exec sleep 1000"]
        lab = subprocess.Popen(argv, stderr=subprocess.PIPE, env=place.environment(), pass_fds=[kept], text=True)
    finally:
        os.close(kept)
    try:
        while "started" not in lab.stderr.readline():
            assert lab.poll() is None
        one, = (pid for pid in lab_tools.children(lab.pid, "tunfilter-lab") or lab_tools.children(lab.pid, "tunfilter"))
        pid = worker(lab_tools.child(one, "tunfilter"))
        names = files_of(pid)
        assert names.count("/dev/net/tun") == 2
        assert str(secret) not in names and not [name for name in names if name.startswith("net:")], names
    finally:
        lab.terminate()
        lab.communicate(timeout=60)


@pytest.mark.skipif(harness.SANITIZED, reason="sanitized builds are not confined")
@pytest.mark.parametrize("missing, words", [("landlock", "Landlock is not in force (Operation not supported)"),
                                            ("seccomp", "seccomp is not in force (Invalid argument)")])
def test_a_kernel_that_cannot(place, missing, words):
    """It is said once at the start, whatever runs the script; and by doctor."""
    forbids = getattr(forbid, missing)()
    script = place.script(harness.PASS)
    for argv in (["lab", script, "--", "true"], *commands(place, script).values()):
        done = harness.run(place, *argv, forbids=forbids)
        assert done.returncode == 0 and done.stderr.count("warning: " + words) == 1, (argv, done.stderr)
        done = harness.run(place, *argv)
        assert "in force" not in done.stderr, argv
    line, = re.findall(r"(\w+) +scripts +(.*)", harness.run(place, "doctor", forbids=forbids).stdout)
    assert line[0] == "warning" and {"landlock": "by Lua alone; system calls are filtered",
                                     "seccomp": "(Landlock); system calls are not filtered"}[missing] in line[1]
    line, = re.findall(r"(\w+) +scripts +(.*)", harness.run(place, "doctor").stdout)
    assert line == ("ok", "they can read files of their folder only (Landlock); system calls are filtered (seccomp)")
    said = harness.run(place, *commands(place, script, "-v")["replay"]).stderr
    assert "files: to read, below %s; system calls: those of a run" % place.path in said


def test_unsafe_says_so_everywhere(place):
    script = place.script("os.execute 'true'\n" + harness.PASS)
    for argv in commands(place, script, "--unsafe").values():
        done = harness.run(place, *argv)
        assert done.returncode == 0 and "--unsafe: the script can do all that this user can" in done.stderr, argv


def test_nobody_outlives_the_supervisor(place):
    """Not even who does not come back from its script."""
    argv = ["unshare", "--net", place.program, "run", place.script("while true do end\n"), "--left", "tun:tfa", "--right", "tun:tfb",
            "--time-limit", "0"]
    with harness.Program(place, *argv, user=False) as run:
        def serving():
            try:
                pid = worker(run.pid)
                return pid if status_of(pid)["NoNewPrivs"] == ["1"] and "/dev/net/tun" in files_of(pid) else None
            except (IndexError, OSError):
                return None
        pid = harness.wait_until(serving)
        harness.wait_until(lambda: harness.SANITIZED or status_of(pid)["Seccomp"] == ["2"])
        run.signal(signal.SIGKILL)
        harness.wait_until(lambda: not os.path.exists("/proc/%d" % pid))
