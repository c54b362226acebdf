"""The program on device nodes: what device/chardev.c does on a Mac with TunTapOSX, on its stand-in."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

import harness
import nodes
import transfer

TIMES = 200 if harness.SANITIZED else 1000

pytestmark = pytest.mark.skipif(nodes.why_not() is not None, reason="no device nodes: %s" % nodes.why_not())


def packet(size=100, number=0):
    return bytes(IP(src="10.77.0.1", dst="10.77.0.2", id=number) / UDP(sport=1000, dport=2000) / bytes(size - 28))


def frame(size=114):
    return bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(packet(size - 14)))


# A web server on port 8080 that is reached at port 80, so that a checksum that does not follow stops everything.
SWAP = """
local tf = require "tunfilter"
tf.on_packet("tcp", function(pkt)
   if pkt.tcp.dport == 80 then pkt.tcp.dport = 8080
   elseif pkt.tcp.sport == 8080 then pkt.tcp.sport = 80 end
end)
"""


@pytest.mark.parametrize("kind", ["tun", "tap"])
def test_ping_and_50_megabytes(place, kind):
    size = 50_000_000 if kind == "tun" and not harness.SANITIZED else 5_000_000
    script = place.path / "transfer.py"
    shutil.copy(transfer.__file__, script)
    with nodes.Nodes(place, SWAP, kind=kind) as run:
        run.give_addresses()
        status, output = run.run("left", "ping", "-c", 3, "-i", "0.2", "-W", 20, "10.77.0.2")
        assert status == 0 and " 0% packet loss" in output, output
        run.run("right", "sh", "-c", "python3 %s serve 8080 %d >/dev/null 2>&1 </dev/null &" % (script, size))
        status, output = run.run("left", "python3", script, "fetch", "10.77.0.2", 80)
        assert (status, output) == (0, transfer.digest(size)), run.stderr
    assert run.status == 0, run.stderr
    assert run.table()["in bytes"][1] > size


def test_addresses_and_mtu_are_set(place):
    """As for all devices here; on a Mac interface_macos.c does it."""
    argv = [*harness.IN_NAMESPACE, nodes.STANDIN, nodes.folder(place), "--", place.program, "run", place.script(harness.PASS),
            "--left", "tun,mtu=1400,address=10.1.0.1/24"]
    with harness.Program(place, *argv, user=False) as run:
        run.wait_for(r"^tunfilter: left   tun0 \(tun\), mtu 1400$")
        show = subprocess.run(["nsenter", "-t", str(run.pid), "-U", "--preserve-credentials", "-n", "ip", "address", "show", "tun0"],
                              capture_output=True, text=True, check=True).stdout
        assert "mtu 1400" in show and ",UP" in show and "inet 10.1.0.1/24 " in show, show


def test_an_interface_that_is_down_is_waited_for(place):
    """The program does not see the interfaces, as an ordinary user of a Mac may not touch them."""
    with nodes.Nodes(place, harness.PASS, netns=False) as run:
        for name in run.names.values():
            run.wait_for("warning: device %s is down: packets to it are lost until it is up .ip link set %s up"
                         % (name, name))
        run.link("left", "up")
        run.wait_for("device tun0 is up$")
        for number in range(5):
            run.left.send(packet(number=number))
        table_when(run, lambda table: table["lost"] == [5, 0])
        run.link("right", "up")
        run.wait_for("device tun1 is up$")
        run.left.send(packet(number=7))
        assert run.right.receive(1) == [packet(number=7)]
        assert run.right.nothing()
    assert run.status == 0
    assert run.table()["forwarded"] == [6, 0]


def test_down_with_packets_queued_and_up_again(place):
    """What select() calls readable answers EIO then: the thread must not spin on it."""
    with nodes.Nodes(place, harness.PASS) as run:
        pid = worker(run)
        stop(pid)
        run.left.send(packet())
        run.link("left", "down")
        run.link("right", "down")
        os.kill(pid, signal.SIGCONT)
        run.wait_for("warning: device tun0 is down")
        before = cpu_time(pid)
        assert run.left.nothing(0.5)
        assert cpu_time(pid) - before < 5, cpu_time(pid) - before  # were one to spin, more than 10
        run.link("right", "up")
        run.link("left", "up")
        run.wait_for("device tun0 is up$")
        assert run.right.receive(1) == [packet()]
    assert run.status == 0


def worker(run):
    """The process that has the devices' threads: the program's child, beside the stand-in."""
    children = Path("/proc/%d/task/%d/children" % (run.pid, run.pid)).read_text().split()
    return next(int(pid) for pid in children if Path("/proc/%s/comm" % pid).read_text().startswith("tunfilter"))


def stat_of(path):
    """What stands behind the name in a process's or thread's stat."""
    return path.read_text().rsplit(")", 1)[1].split()


def cpu_time(pid):
    """Of all threads of a process, in hundredths of a second."""
    return sum(map(int, stat_of(Path("/proc/%d/stat" % pid))[11:13]))


def stop(pid):
    """Stops a process, all threads of it, until SIGCONT."""
    os.kill(pid, signal.SIGSTOP)
    harness.wait_until(lambda: {stat_of(task)[0] for task in Path("/proc/%d/task" % pid).glob("*/stat")} == {"T"})


def table_when(run, condition):
    """The first table of which it is true; asks for tables until there is one."""
    def look():
        run.signal(signal.SIGUSR1)
        return next(filter(condition, harness.tables(run.stderr)), None)
    return harness.wait_until(look)


@pytest.mark.parametrize("kind, make, header", [("tun", packet, 0), ("tap", frame, 14)])
def test_longer_than_the_mtu_is_refused(place, kind, make, header):
    """The driver would cut it."""
    with nodes.Nodes(place, harness.PASS, kind=kind, keys=("", ",mtu=1300")) as run:
        for size in (1300, 1301, 1500, 1300):
            run.left.send(make(size + header))
        assert run.right.receive(2) == [make(1300 + header)] * 2
        run.wait_for("warning: device %s1 refused a packet: it is longer than the interface's MTU" % kind)
        run.link("right", "mtu", 1500)
        run.left.send(make(1500 + header))
        assert run.right.receive(1) == [make(1500 + header)]
        assert run.right.nothing()
    assert run.table()["invalid"] == [2, 0]


def test_nothing_is_lost_without_being_counted(place):
    slow = """
    local tf = require "tunfilter"
    tf.on_packet(function() local t = os.clock() while os.clock() < t + 0.01 do end end)
    """
    with nodes.Nodes(place, slow, "--unsafe", keys=(",queue=8", "")) as run:
        pid = worker(run)
        stop(pid)
        for number in range(120):  # fewer than the interface itself would lose
            run.left.send(packet(number=number))
        os.kill(pid, signal.SIGCONT)
        table = table_when(run, lambda table: table["in"][0] + table["kernel-dropped"][0] >= 120)
    assert table["in"][0] + table["kernel-dropped"][0] == 120 and table["kernel-dropped"][0] > 0, table


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it(place, wish):
    with nodes.Nodes(place, harness.PASS) as run:
        run.left.send(packet())
        assert run.right.receive(1) == [packet()]
        run.signal(wish)
        run.wire.wait()
        status, output = run.run("left", "ip", "link")
        assert "tun0" not in output, output
    assert run.status == 0
    assert run.table()["forwarded"] == [1, 0]


def test_a_deleted_interface_ends_it(place):
    with nodes.Nodes(place, harness.PASS) as run:
        assert run.run("right", "ip", "link", "delete", "tun1")[0] == 0
        run.wire.wait()
    assert run.status == 3, run.stderr
    assert "error: right device tun1: it was deleted" in run.stderr


MISSING = "is not there: TunTapOSX is not installed, or its extension is not loaded; macOS's own devices need neither: write utun"
HELD = "another program holds %(at)s/tun0: end it, or choose another name"
NO_FREE = "no free tun device is left (tun0 to tun15): "
ERRORS = [
    (["--left", "tun:tun0"], ["--fail", "tun0=EBUSY"], "left device: " + HELD),
    ([], ["--nodes", "1"], "right device: " + NO_FREE + HELD),
    ([], ["--nodes", "0"], "left device: " + NO_FREE + "%(at)s/tun0 " + MISSING),
    (["--left", "tun:tun5"], ["--nodes", "2"], "left device: %(at)s/tun5 " + MISSING),
    (["--left", "tun:tun0"], ["--fail", "tun0=ENXIO"],
     "left device: %(at)s/tun0 has no driver behind it: load TunTapOSX's extension"),
    (["--left", "tun:tun0"], ["--fail", "tun0=EACCES"],
     "left device: may not open %(at)s/tun0: that takes root (sudo), or the rights of its node"),
    ([], ["--nodes", "2", "--fail", "tun0=EBUSY", "--fail", "tun1=EACCES"],
     "left device: " + NO_FREE + "may not open %(at)s/tun1: that takes root (sudo), or the rights of its node"),
    (["--left", "tun:tun0"], ["--fail", "tun0=EIO"], "left device: can't open %(at)s/tun0: i/o error"),
]


@pytest.mark.parametrize("options, standin, message", ERRORS)
def test_what_can_not_be_opened(place, options, standin, message):
    done = nodes.run(place, harness.PASS, *options, standin=standin)
    assert done.stderr == "tunfilter: error: %s\n" % (message % {"at": nodes.folder(place)})
    assert done.returncode == 3


@pytest.mark.parametrize("name", ["blue", "tun16", "tun", "tun01", "tap0", "tun0/../tun1"])
def test_what_is_no_name(place, name):
    done = nodes.run(place, harness.PASS, "--left", "tun:" + name)
    assert 'left device: "%s" is no name of a tun device here: they are called tun0 to tun15' % name in done.stderr
    assert done.returncode == 2


def test_the_first_that_is_free(place):
    """Held ones and those that can't be opened are passed over."""
    argv = [*harness.IN_NAMESPACE, nodes.STANDIN, "--fail", "tun0=EBUSY", "--fail", "tun2=EACCES", nodes.folder(place), "--",
            place.program, "run", place.script(harness.PASS)]
    with harness.Program(place, *argv, user=False) as run:
        run.wait_for("^tunfilter: left   tun1 ")
        run.wait_for("^tunfilter: right  tun3 ")


def test_opened_and_closed_often(place):
    often = os.path.join(os.path.dirname(nodes.STANDIN), "chardev_often")
    done = subprocess.run([*harness.IN_NAMESPACE, nodes.STANDIN, nodes.folder(place), "--", often, str(TIMES)],
                          capture_output=True, text=True, check=False, env=place.environment(), timeout=300)
    assert done.stdout.startswith("%d times: 0 descriptors, 0 threads and " % TIMES), done.stdout + done.stderr
    assert done.returncode == 0, done.stdout
