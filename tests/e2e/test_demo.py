"""scripts/demo, which a person runs first."""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import termios
from pathlib import Path

import pytest

import harness

STEPS = ["1. A ping passes", " forward by scripts/pass.lua", " 0% packet loss",
         "2. The same ping", " drop by scripts/drop-icmp.lua", "100% packet loss",
         "3. A web page", "  edited", "Howdy from the right host.", "Done: all three"]


@pytest.fixture
def tree(place):
    """A copy of the scripts that every user may read, without the rest: its top."""
    top = place.path / "tree"
    (top / "scripts").mkdir(parents=True)
    for path in (harness.ROOT / "scripts").iterdir():
        shutil.copy(path, top / "scripts")
    for path in (top, *top.rglob("*")):
        path.chmod(0o755)
    (place.path / "tmp").mkdir(mode=0o777)
    (place.path / "tmp").chmod(0o777)
    yield top
    shutil.rmtree(top)
    shutil.rmtree(place.path / "tmp")


def start(place, tree, *options, user=True, program=None, prefix=(), **how):
    argv = [*prefix, str(tree / "scripts/demo"), "--no-packages", "--program", str(program or place.program), *options]
    env = place.environment()
    env["TMPDIR"] = str(place.path / "tmp")
    if how.pop("colours", False):
        del env["NO_COLOR"]
    how = {"cwd": "/", "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **how}
    return subprocess.Popen(harness.ordinary_user(argv) if user else argv, env=env, start_new_session=True, **how)


def finish(process):
    try:
        output, _ = process.communicate(timeout=harness.DEADLINE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return output.decode(errors="replace")


def in_order(output):
    at = 0
    for text in STEPS:
        assert text in output[at:], "no %r in its place in:\n%s" % (text, output)
        at = output.index(text, at)


def session(sid):
    """Pids of the processes of a session."""
    pids = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == sid and fields[0] != "Z":
            pids.append(int(stat.parent.name))
    return pids


@pytest.mark.parametrize("user", [True, False])
def test_the_three_steps_from_another_folder(place, tree, user):
    process = start(place, tree, user=user)
    output = finish(process)
    assert process.returncode == 0, output
    in_order(output)
    assert "\033" not in output
    assert not list((place.path / "tmp").iterdir())


def on_terminal(place, tree, **how):
    """The demo on a terminal of its own: (process, the terminal's other end)."""
    master, slave = os.openpty()
    process = start(place, tree, stdin=slave, stdout=slave, stderr=slave,
                    preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **how)
    os.close(slave)
    return process, master


def read_until(master, pattern=None):
    """Reads a terminal until a pattern comes, or to its end."""
    output = ""
    while not pattern or not re.search(pattern, output):
        try:
            data = os.read(master, 65536)
        except OSError:  # EIO: nobody has the other end
            data = b""
        if not data:
            assert not pattern, output
            break
        output += data.decode(errors="replace")
    return output


def test_on_a_terminal_with_colours(place, tree):
    process, master = on_terminal(place, tree, colours=True)
    output = read_until(master)
    os.close(master)
    assert process.wait() == 0, output
    in_order(re.sub("\033\\[[0-9]*m", "", output))
    for coloured in ("\033[1m", "\033[32mforward\033[0m", "\033[31mdrop\033[0m", "\033[33medited\033[0m"):
        assert coloured in output


def other(place, change):
    """The program with its arguments changed by a line of shell: its path."""
    path = place.file("other", '#!/bin/sh\n%s\nexec "%s" "$@"\n' % (change, place.program))
    path.chmod(0o755)
    return path


def test_ctrl_c_leaves_nothing(place, tree):
    patient = other(place, '[ "$2" != scripts/drop-icmp.lua ] || set -- lab "$2" -v -- ping -c 1 -W 60 right')
    process, master = on_terminal(place, tree, program=patient)
    output = read_until(master, "drop by")  # ping waits for its answer now
    os.write(master, b"\x03")
    output += read_until(master)
    os.close(master)
    assert process.wait() == 130, output
    assert "3. A web page" not in output and "that should have" not in output
    assert not list((place.path / "tmp").iterdir())
    harness.wait_until(lambda: not session(process.pid), why=lambda: "left: %s" % session(process.pid))


@pytest.mark.parametrize("instead, wrong", [
    ('[ "$2" != scripts/pass.lua ] || set -- lab scripts/drop-icmp.lua -v -- ping -c 1 -W 1 right',
     "status 0, not 1"),
    ('[ "$2" != scripts/drop-icmp.lua ] || set -- lab scripts/pass.lua -v -- ping -c 1 right', "status 1, not 0"),
    ('[ "$2" != scripts/drop-icmp.lua ] || set -- lab scripts/pass.lua -v -- ping -c 1 -W 1 10.77.0.99',
     "printed:  drop by"),
    ('[ "$2" != scripts/rewrite-http.lua ] || { shift 2 && set -- lab scripts/pass.lua "$@"; }', "printed: Howdy"),
])
def test_a_step_that_shows_something_else_fails(place, tree, instead, wrong):
    process = start(place, tree, program=other(place, instead))
    output = finish(process)
    assert process.returncode == 1, output
    assert wrong in output and "Done" not in output


def test_without_a_tun_device_it_says_what_doctor_says(place, tree):
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
              'mount -t tmpfs none /dev/net && exec "$@"', "sh"]
    process = start(place, tree, prefix=prefix, user=False)
    output = finish(process)
    assert process.returncode == 1, output
    assert "/dev/net/tun" in output and "no lab can be made on this machine" in output
    assert re.search(r"^ok +LuaJIT", output, re.M), output  # a line of doctor's


@pytest.mark.skipif(harness.SANITIZED, reason="it would build the usual program once more")
def test_it_builds_and_builds_again_only_what_changed(place, tmp_path):
    top = tmp_path / "tree"
    top.mkdir()
    shutil.copy(harness.ROOT / "CMakeLists.txt", top)
    for name in ("src", "lua", "scripts"):
        shutil.copytree(harness.ROOT / name, top / name)
    packages = top / "scripts/packages"
    packages.write_text('#!/bin/sh\necho "packages: $*"\n')
    program = top / "build/tunfilter"
    times = []
    for _ in range(2):
        done = subprocess.run([top / "scripts/demo"], cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=300, env=place.environment(), check=False)
        assert done.returncode == 0, done.stdout
        assert done.stdout.startswith("packages: build demo\n")
        in_order(done.stdout)
        times.append(program.stat().st_mtime_ns)
    assert times[0] == times[1]

    (top / "src/main.c").write_text("#error broken\n")
    done = subprocess.run([top / "scripts/demo"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=300, env=place.environment(), check=False)
    assert done.returncode == 1
    assert "error broken" in done.stdout and "the build has failed" in done.stdout


def test_bad_options():
    for options, status, text in ((["--help"], 0, "three things"), (["--nonsense"], 2, "scripts/demo: what is --nonsense?"),
                                  (["--build"], 2, "needs a value")):
        done = subprocess.run([harness.ROOT / "scripts/demo", *options], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert done.returncode == status and text in done.stdout
