"""Real programs between the two hosts of a lab, started by an ordinary user: ping, curl, iperf3."""

import hashlib
import json
import re
import sys

import pytest

import harness

HEADER = 'local tf = require "tunfilter"\n'
RIGHT = {4: "10.77.0.2", 6: "fd77::2"}

DROP_PING = HEADER + """
tf.on_packet("icmp or (icmp6 and ip6[40] == 128)", function() return tf.drop end)
"""

# The client asks port 80, the server listens on 8080.
REDIRECT = HEADER + """
tf.on_packet{ "tcp dst port 80", from = tf.left, function(pkt) pkt.tcp.dport = 8080 end }
tf.on_packet{ "tcp src port 8080", from = tf.right, function(pkt) pkt.tcp.sport = 80 end }
"""

COUNT_ARP = HEADER + """
local seen = {}
tf.on_packet("arp", function(pkt)
   local key = ("%s asks=%s"):format(tostring(pkt.from), tostring(pkt.arp.op == 1))
   seen[key] = (seen[key] or 0) + 1
end)
tf.on_stop(function()
   for key, count in pairs(seen) do tf.log("arp", key, count) end
end)
"""

DEVICES = {"tun": [], "tap": ["--left", "tap", "--right", "tap"]}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("kind", DEVICES)
def test_ping_passes_and_a_rule_drops_it(place, kind, version):
    ping = ["ping", "-c", "3", "-i", "0.2", "-W", "1", RIGHT[version]]
    done = harness.run_lab(place, harness.PASS, *ping, options=DEVICES[kind])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 received" in done.stdout
    done = harness.run_lab(place, DROP_PING, *ping, options=DEVICES[kind])
    assert done.returncode == 1
    assert "100% packet loss" in done.stdout
    assert harness.tables(done.stderr)[-1]["dropped"][0] == 3


def test_the_hosts_names_resolve(place):
    for name, address in (("right", "10.77.0.2"), ("left", "10.77.0.1")):
        done = harness.run_lab(place, harness.PASS, "ping", "-4", "-c", "1", name)
        assert done.returncode == 0 and address in done.stdout, done.stdout + done.stderr


def test_an_idle_link_is_quiet(place):
    for kind in DEVICES:
        done = harness.run_lab(place, harness.PASS, "sleep", "3", options=DEVICES[kind])
        assert harness.tables(done.stderr)[-1]["in"] == [0, 0], done.stderr


MEGABYTES = 200


@pytest.fixture(scope="module")
def download(session_place):
    """A file of MEGABYTES that does not repeat: its name, sha256, and the command that serves it."""
    path = session_place.path / "download"
    digest = hashlib.sha256()
    with open(path, "wb") as file, open("/dev/urandom", "rb") as source:
        for _ in range(MEGABYTES):
            block = source.read(1000000)
            digest.update(block)
            file.write(block)
    path.chmod(0o644)
    serve = "%s -m http.server 8080 --bind :: --directory %s" % (sys.executable, session_place.path)
    yield path.name, digest.hexdigest(), serve
    path.unlink()


@pytest.mark.parametrize("kind, version", [("tun", 4), ("tun", 6), ("tap", 4), ("tap", 6)])
def test_a_large_download_through_a_port_rewriting_rule(place, download, kind, version):
    name, expected, serve = download
    host = RIGHT[version] if version == 4 else "[%s]" % RIGHT[version]
    url = "http://%s/%s" % (host, name)
    client = "for i in $(seq 100); do curl -sgfI -o /dev/null %s && break; sleep 0.1; done; curl -sgf %s | sha256sum" % (
        url, url)
    done = harness.run_lab(place, REDIRECT, "sh", "-c", client, options=[*DEVICES[kind], "--on-right", serve])
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^([0-9a-f]{64})  -$", done.stdout, re.M) == [expected], done.stdout + done.stderr
    table = harness.tables(done.stderr)[-1]
    harness.check_sums(table)
    assert table["forwarded bytes"][1] > MEGABYTES * 1000000
    assert table["errors"] == [0, 0] and table["invalid"] == [0, 0]


@pytest.mark.parametrize("kind, version", [("tun", 4), ("tun", 6), ("tap", 4), ("tap", 6)])
def test_iperf3_both_ways_at_once(place, kind, version):
    client = ("for i in $(seq 100); do iperf3 -c %s --bidir -t 2 -J > iperf.json && exit; sleep 0.1; done; exit 1"
              % RIGHT[version])
    done = harness.run_lab(place, harness.PASS, "sh", "-c", client + " 2>&1",
                           options=[*DEVICES[kind], "--on-right", "iperf3 -s"])
    report = place.path / "iperf.json"
    assert done.returncode == 0, done.stderr + report.read_text()
    end = json.loads(report.read_text())["end"]
    report.unlink()
    for direction in ("sum_received", "sum_received_bidir_reverse"):
        assert end[direction]["bytes"] > 1000000, end
    table = harness.tables(done.stderr)[-1]
    harness.check_sums(table)
    assert table["forwarded"] == table["in"] and table["errors"] == [0, 0]


def test_a_script_sees_arp_on_tap(place):
    done = harness.run_lab(place, COUNT_ARP, "ping", "-c", "1", RIGHT[4], options=DEVICES["tap"])
    assert done.returncode == 0, done.stderr
    seen = dict(re.findall(r"arp\s+(\w+ asks=\w+)\s+(\d+)", done.stderr))
    assert int(seen["left asks=true"]) >= 1 and int(seen["right asks=false"]) >= 1, done.stderr


def test_root_can_use_a_lab_too(place):
    done = harness.run_lab(place, harness.PASS, "ping", "-c", "1", "right", user=False)
    assert done.returncode == 0, done.stdout + done.stderr
