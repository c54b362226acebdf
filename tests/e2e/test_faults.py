"""What a system runs out of, or takes away, while packets pass: room on the disk, descriptors, outputs, namespaces."""

import os
import re
import signal
import subprocess
import sys

import pytest
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

import harness
import lab_tools

SYSTEM = 3
MOUNTED = """
mkdir -p small && mount -t tmpfs -o size=128k,mode=777 none small || exit 125
"$@"; status=$?
cp small/out.pcapng out.pcapng; exit $status
"""


def test_a_disk_that_fills_up_under_a_capture(place):
    """It is said once, packets pass on, and what was written until then can be read, up to a whole packet; the rest is counted."""
    prefix = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--mount", "sh", "-c", MOUNTED, "sh"]
    done = harness.run(place, "lab", place.script(harness.PASS), "--capture", "small/out.pcapng", "--",
                       "ping", "-q", "-s", "1400", "-c", "100", "-i", "0.01", "right", prefix=prefix, user=False)
    assert done.returncode == 0 and "100 received" in done.stdout, done.stdout + done.stderr
    assert done.stderr.count("cannot be written: no space left on device; nothing more goes to it") == 1, done.stderr
    assert harness.tables(done.stderr)[-1]["forwarded"] == [100, 100]
    capture = place.path / "out.pcapng"
    read = subprocess.run(["tshark", "-n", "-r", capture], capture_output=True, text=True, check=False)
    capture.unlink()
    assert read.returncode == 0, read.stderr
    lost = int(re.search(r"(\d+) packets are not in it", done.stderr)[1])
    assert 20 < len(read.stdout.splitlines()) == 200 - lost


@pytest.mark.parametrize("limit", [3, 4, 6, 8, 12, 16, 20, 24, 28, 32, 40])
def test_descriptors_that_run_out_at_start(place, limit):
    """It runs, or says what it had no descriptor for."""
    done = harness.run(place, "lab", place.script(harness.PASS), "--", "ping", "-c", "1", "right",
                       prefix=["prlimit", "--nofile=%d" % limit])
    if done.returncode == 0:
        assert "1 received" in done.stdout and harness.tables(done.stderr)[-1]["forwarded"] == [1, 1]
    elif limit > 3:  # with fewer the shared libraries are not found
        assert done.returncode == SYSTEM, done.stdout + done.stderr
        assert re.search("too many open files|descriptor", done.stderr, re.I), done.stderr


MARK = 'local tf = require "tunfilter"\ntf.on_packet("udp", function(pkt) pkt.payload = "%s" end)\n'


def set_descriptors(pid, limit):
    """Allows a running program of the tests' user so many from now on."""
    who = ["setpriv", "--reuid", harness.NOBODY, "--regid", harness.NOBODY, "--clear-groups"] if os.geteuid() == 0 else []
    subprocess.run([*who, "prlimit", "--pid", str(pid), "--nofile=%d:" % limit], check=True)


def passes(running, timeout=20):
    """What a packet's payload comes out as."""
    running.left.send(bytes(IP(src="198.51.100.1", dst="203.0.113.1") / UDP(sport=9, dport=9) / Raw(b"????")))
    return bytes(running.right.receive(1, timeout)[0])[28:].decode()


@pytest.mark.parametrize("options", [[], ["--capture", "out.pcapng", "--workers", 2]])
def test_descriptors_that_run_out_during_a_reload(place, lab, options):
    """However far it comes with those that there are: the old script runs on, or the new one; and the next save counts."""
    path, marks = place.script(MARK % "old "), ["old "]
    with lab(path, "--no-offload", *options) as running:
        pid = lab_tools.child(lab_tools.child(running.pid, "tunfilter-lab"), "tunfilter")
        most = max(fd for fd in map(int, os.listdir("/proc/%d/fd" % pid)) if fd < 100)  # others are the lab's
        for limit in [2, *range(most + 1, most + 13), 1024]:
            before = len(running.stderr)
            set_descriptors(pid, limit)
            path.write_text(MARK % ("%4d" % limit))
            harness.wait_until(lambda: " anew" in running.stderr[before:])
            said = running.stderr[before:]
            if "is loaded anew" in said:
                marks.append("%4d" % limit)
            else:
                assert "too many open files" in said.lower() and "is not loaded anew: the script that runs goes on" in said
            assert passes(running) == marks[-1]
        assert len(marks) < 13 and marks[-1] == "1024"
    assert running.status == 0 and running.table()["in"] == [14, 0]


def test_a_worker_that_cannot_be_started_again(place, lab):
    """The devices are there, and what can be had again is had again."""
    with lab(MARK % "mark", "--no-offload") as running:
        pid = lab_tools.child(lab_tools.child(running.pid, "tunfilter-lab"), "tunfilter")
        worker, = map(int, open("/proc/%d/task/%d/children" % (pid, pid)).read().split())
        assert passes(running) == "mark"
        set_descriptors(pid, 10)
        os.kill(worker, signal.SIGKILL)
        running.wait_for("no channel to a worker: Too many open files\ntunfilter: error: packets wait until a worker can be started")
        set_descriptors(pid, 1024)
        assert passes(running) == "mark"
        set_descriptors(pid, 10)
        worker, = map(int, open("/proc/%d/task/%d/children" % (pid, pid)).read().split())
        os.kill(worker, signal.SIGKILL)
        harness.wait_until(lambda: running.stderr.count("packets wait") == 2)
        os.kill(pid, signal.SIGTERM)
        running.wait_for("the lab with it")
    assert running.status == SYSTEM


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_outputs_that_are_closed(place, closed):
    """What is written there lands nowhere: least of all, as a packet, in a device that has the number."""
    devices = []
    for side, host in (("left", 1), ("right", 2)):
        devices += ["--" + side, "tun:tf%s,netns={%s},address=10.77.0.%d/24" % (side, side, host)]
    rules = place.script('local tf = require "tunfilter"\nprint "E of loading"\ntf.on_packet(function() print "E of a packet" end)\n')
    with harness.Wired(place, *harness.IN_NAMESPACE, sys.executable, place.wire, "sh", "-c", 'exec "$@" ' + closed, "sh",
                       place.program, "run", rules, *devices, "-v", "--no-offload", user=True) as running:
        packet = bytes.fromhex("4500001c0001000040fd0000c6336401cb007101") + b"testtest"
        for _ in range(3):
            running.left.send(packet)
        assert running.right.receive(3, timeout=20) == [packet] * 3
        assert running.right.nothing() and running.left.nothing()
    assert running.status == 0, running.stderr


def test_a_reader_of_standard_error_that_went(place):
    reader, writer = os.pipe()
    os.close(reader)
    argv = harness.ordinary_user([place.program, "lab", place.script(harness.PASS), "-v", "--", "ping", "-c", "3", "-i", "0.1", "right"])
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=writer, env=place.environment(),
                              cwd=place.path, timeout=harness.DEADLINE, text=True, check=False)
    finally:
        os.close(writer)
    assert done.returncode == 0 and "3 received" in done.stdout, done


HOSTS = """
unshare --net sh -c 'echo >here1; exec sleep 1000' & left=$!
unshare --net sh -c 'echo >here2; exec sleep 1000' & right=$!
while ! [ -s here1 ] || ! [ -s here2 ]; do sleep 0.05; done
"$0" run "$1" --left tun:tfleft,netns=$left,address=10.77.0.1/24 --right tun:tfright,netns=$right,address=10.77.0.2/24 & program=$!
while ! nsenter --net=/proc/$right/ns/net ip link show tfright >/dev/null 2>&1; do
   kill -0 $program || exit 99
   sleep 0.05
done
kill -9 $left; wait $left
nsenter --net=/proc/$right/ns/net ping -q -c 2 -W 1 10.77.0.1 >&2
kill $program 2>/dev/null; wait $program; status=$?
kill -9 $right
exit $status
"""


def test_a_namespace_whose_last_process_ends(place):
    """The device keeps it for as long as the program runs, or is gone; either is said and no crash."""
    for name in ("here1", "here2"):
        (place.path / name).write_text("")
        (place.path / name).chmod(0o666)
    with harness.Program(place, *harness.IN_NAMESPACE, "sh", "-c", HOSTS, place.program, place.script(harness.PASS)) as running:
        status = running.end()
    if status == SYSTEM:
        assert "error: left device tfleft: " in running.stderr, running.stderr
    else:
        assert status == 0 and "2 received" in running.stderr, running.stderr
    running.table()
