"""Two hosts joined only through tunfilter.exe: real traffic, and the example scripts' work on it."""

import sys

import pytest

import harness
import hosts
import transfer
import wine


@pytest.fixture
def joined(folder):
    """joined(rules, *options): the program and the hosts, for a with statement."""

    class Joined(wine.Run):
        def __init__(self, rules, *options, **how):
            super().__init__(folder, rules, *options, **how)
            self.hosts = hosts.Hosts(self.left.socket, self.right.socket, mtu=1400)

        def __exit__(self, *_):
            self.hosts.close()
            super().__exit__()

    return Joined


def fetch(net, count, port=5000, at=None):
    """A TCP transfer from right to left: what the left host got, which is to be transfer.digest(count)."""
    with net.start("right", sys.executable, transfer.__file__, "serve", port, count) as server:
        try:
            done = net.run("left", sys.executable, transfer.__file__, "fetch", "10.77.0.2", at or port, timeout=300)
            server.wait(60)
        finally:
            server.kill()
    return done.stdout


def ping(net, side, address, count=5):
    return net.run(side, "ping", "-c", count, "-i", "0.05", "-W", "20", address)


def test_ping_and_a_large_transfer(joined):
    with joined(harness.ROOT / "scripts/pass.lua") as program:
        for side, address in (("left", "10.77.0.2"), ("left", "fd77::2"), ("right", "10.77.0.1")):
            done = ping(program.hosts, side, address)
            assert done.returncode == 0 and " 0% packet loss" in done.stdout, done.stdout + program.stderr
        assert fetch(program.hosts, 50_000_000) == transfer.digest(50_000_000)
    assert program.status == 0, program.stderr
    table = program.table()
    assert table["forwarded"][1] * 1400 > 50_000_000
    assert table["errors"] == table["invalid"] == [0, 0]


def test_a_script_drops(joined):
    with joined(harness.ROOT / "scripts/drop-icmp.lua") as program:
        done = program.hosts.run("left", "ping", "-c", 3, "-i", "0.05", "-W", 1, "10.77.0.2")
        assert done.returncode == 1 and "3 packets transmitted, 0 received" in done.stdout
        assert fetch(program.hosts, 100_000) == transfer.digest(100_000)
    assert program.table()["dropped"][0] == 3


def test_a_script_rewrites(joined):
    """A port that nobody serves is another one; checksums are right, or the hosts would not take the packets."""
    with joined(harness.ROOT / "scripts/redirect-port.lua") as program:
        assert fetch(program.hosts, 1_000_000, port=8080, at=80) == transfer.digest(1_000_000)
    assert program.status == 0, program.stderr


def test_timers_hold(joined):
    """A hold of 50 ms each way is seen by the hosts."""
    rules = 'local tf = require "tunfilter"\ntf.on_packet(function(pkt) return pkt:hold(0.05) end)'
    with joined(rules) as program:
        done = ping(program.hosts, "left", "10.77.0.2")
    times = [float(line.split("time=")[1].split()[0]) for line in done.stdout.splitlines() if "time=" in line]
    assert len(times) == 5 and min(times) >= 100, done.stdout


def test_full_rings_only_cost_time(joined):
    """TCP gets over packets that the ring had no room for."""
    with joined(harness.ROOT / "scripts/pass.lua", "--right", "tun:right,queue=1", "--left", "tun:left,queue=1") as program:
        assert fetch(program.hosts, 5_000_000) == transfer.digest(5_000_000)
    assert program.status == 0, program.stderr
