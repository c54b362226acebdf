"""`tunfilter doctor`, and the sentences for what a machine forbids."""

import os
import platform
import subprocess

import pytest

import forbid
import harness

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a machine that forbids things")

# Makes /dev/net a folder with the node that is asked for ($1: a mode, or "none"), then runs the rest.
NODE = """
mount -t tmpfs -o mode=755 none /dev/net
[ "$1" = none ] || mknod -m "$1" /dev/net/tun c 10 200
shift
exec "$@"
"""
AS_NOBODY = ["setpriv", "--reuid", harness.NOBODY, "--regid", harness.NOBODY, "--clear-groups", "--inh-caps=-all",
             "--"]
# No rights at all, and no way to get some: as a plain user stands before a user namespace.
POOR = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"]


def with_node(mode, *argv):
    return ["unshare", "--mount", "sh", "-c", NODE, "sh", mode, *argv]


def run(place, *argv, node="666", before=(), forbids=None, **how):
    """The program as nobody, where /dev/net/tun has this mode; before: what stands before that."""
    argv = [*before, *with_node(node, *AS_NOBODY, str(place.program), *map(str, argv))]
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=place.environment(),
                          cwd=place.path, text=True, timeout=60, preexec_fn=forbids, check=False, **how)


def lab(place, **how):
    return run(place, "lab", place.script(harness.PASS), "--", "true", **how)


@pytest.mark.skipif("thread" in os.environ.get("TF_SANITIZE", ""), reason="a process with threads, as this sanitizer's are, makes no user namespace")
def test_an_ordinary_user(place):
    result = run(place, "doctor")
    assert result.returncode == 0, result.stdout
    lines = {line.split()[1]: line.split()[0] for line in result.stdout.splitlines()}
    assert (lines["TUN"], lines["lab"], lines["run"], lines["LuaJIT"]) == ("ok", "ok", "hint", "ok")
    assert platform.release() in result.stdout and "\033" not in result.stdout


def test_root(place):
    result = harness.run(place, "doctor", user=False)
    assert "ok      run " in result.stdout


@pytest.mark.parametrize("command", ["doctor", "lab"])
@pytest.mark.parametrize("node, words", [
    ("600", ["/dev/net/tun", "mode 0600", "start the program with sudo", "sudo chmod 0666 /dev/net/tun"]),
    ("none", ["/dev/net/tun", "sudo modprobe tun", "sudo mknod -m 0666 /dev/net/tun c 10 200"]),
])
def test_the_node(place, command, node, words):
    result = run(place, "doctor", node=node) if command == "doctor" else lab(place, node=node)
    assert result.returncode == 3
    for word in words:
        assert word in result.stdout + result.stderr


def forbidden(place, words, **how):
    result = lab(place, **how)
    assert result.returncode == 3, result.stderr
    for word in words:
        assert word in result.stderr, result.stderr
    assert "tunfilter: error: cannot make a lab" in result.stderr
    result = run(place, "doctor", **how)
    assert result.returncode == 3
    for word in words:
        assert word in result.stdout


def test_namespaces_forbidden_by_the_kernels_limit(place):
    # The limit of an outer user namespace, as the machine's is not ours to change.
    script = place.script(harness.PASS)
    outer = ["unshare", "--user", "--map-root-user", "sh", "-c",
             'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"', "sh", *POOR]
    for argv in (["doctor"], ["lab", script, "--", "true"]):
        result = subprocess.run([*with_node("666", *outer), place.program, *argv], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, timeout=60, env=place.environment(),
                                cwd=place.path, check=False)
        assert result.returncode == 3, result.stdout
        assert "user.max_user_namespaces is 0" in result.stdout
        assert "sudo sysctl -w user.max_user_namespaces=" in result.stdout
        assert "sudo tunfilter lab" in result.stdout


@pytest.mark.parametrize("name, value, mend", [
    ("unprivileged_userns_clone", 0, "1"),              # Debian before 11
    ("apparmor_restrict_unprivileged_userns", 1, "0"),  # Ubuntu from 24.04
])
def test_namespaces_forbidden_by_a_setting(place, name, value, mend):
    """The kernel at hand may have no such setting: a file in its place, and EPERM as it gives."""
    machine = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /proc/sys/kernel; "
               'echo %d >/proc/sys/kernel/%s; exec "$@"' % (value, name), "sh"]
    forbidden(place, ["kernel.%s is %d" % (name, value), "sudo sysctl -w kernel.%s=%s" % (name, mend),
                      "sudo tunfilter lab"], before=machine, forbids=forbid.user_namespaces())


def test_namespaces_forbidden_by_a_container(place):
    forbidden(place, ["seccomp", "--security-opt seccomp=unconfined"], forbids=forbid.user_namespaces())


def test_namespaces_forbidden_late(place):
    """The user namespace comes and what is made in it does not, as on Ubuntu. Here by an outer limit."""
    outer = ["unshare", "--user", "--map-root-user", "sh", "-c", "echo 0 >/proc/sys/user/max_net_namespaces; "
             'exec unshare --user --map-user=1000 --map-group=1000 "$@"', "sh"]
    result = subprocess.run([*with_node("666", *outer), place.program, "lab", place.script(harness.PASS), "--",
                             "true"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
                            env=place.environment(), cwd=place.path, check=False)
    assert result.returncode == 3, result.stdout
    assert "cannot make a lab's network namespaces" in result.stdout
    assert "user.max_net_namespaces" in result.stdout and "sudo tunfilter lab" in result.stdout
