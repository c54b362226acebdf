"""`tunfilter lab`: two hosts, their network, their commands."""

import json
import os
import re
import subprocess

import pytest

import harness
import lab_tools

HOST = ("hostname; ip -j address; ip -j route; ip -6 -j route; cat /proc/sys/net/ipv4/ip_forward; "
        "getent ahosts left; getent ahosts right")


def lab(place, *argv, rules=harness.PASS, **how):
    return harness.run(place, "lab", place.script(rules), *argv, **how)


@pytest.mark.parametrize("command, status", [
    (["true"], 0),
    (["sh", "-c", "exit 42"], 42),
    (["sh", "-c", "kill -TERM $$"], 128 + 15),
    (["sh", "-c", "kill -KILL $$"], 128 + 9),
    (["no-such-program"], 127),
    (["/etc/passwd"], 126),
])
def test_status_of_the_command_is_passed_on(place, command, status):
    result = lab(place, "--", *command)
    assert result.returncode == status, result.stderr


@pytest.mark.parametrize("side, number", [("left", 1), ("right", 2)])
def test_a_host(place, side, number):
    if side == "left":
        result = lab(place, "--", "sh", "-c", HOST)
        output = result.stdout
    else:
        result = lab(place, "--on-right", "(%s) >host; echo >done" % HOST, "--",
                     "sh", "-c", "while ! [ -e done ]; do sleep 0.05; done; cat host")
        output = result.stdout
    assert result.returncode == 0, result.stderr
    hostname, links, v4, v6, forward, names = output.split("\n", 5)
    assert hostname == side
    links = {link["ifname"]: link for link in json.loads(links)}
    assert set(links) == {"lo", "tun0"}
    assert all("UP" in link["flags"] for link in links.values())
    addresses = {"%s/%s" % (a["local"], a["prefixlen"]) for a in links["tun0"]["addr_info"]}
    assert addresses == {"10.77.0.%d/24" % number, "fd77::%d/64" % number}
    for routes in (v4, v6):
        assert [r["dev"] for r in json.loads(routes) if r["dst"] == "default"] == ["tun0"]
    assert forward == "0"
    for name, last in (("left", 1), ("right", 2)):
        for address in ("10.77.0.%d" % last, "fd77::%d" % last):
            assert re.search(r"^%s\s" % re.escape(address), names, re.M), names


def test_the_user_is_the_same_and_has_rights(place):
    result = lab(place, "--", "sh", "-c", "id -u; ip link set tun0 mtu 1400; ip link show tun0; "
                 "tcpdump -nli tun0 -c1 icmp & sleep 1; ping -c1 right; wait")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split("\n")[0] == lab_tools.USER
    assert "mtu 1400" in result.stdout
    assert "IP 10.77.0.1 > 10.77.0.2: ICMP echo request" in result.stdout, result.stderr


def test_ipv4_is_taken_first(place):
    if not os.path.exists("/etc/gai.conf"):
        pytest.skip("no /etc/gai.conf")
    assert "PING right (10.77.0.2)" in lab(place, "--", "ping", "-c1", "right").stdout


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_hosts_reach_each_other_by_name(place, family):
    result = lab(place, "--", "ping", family, "-c1", "-W5", "right")
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0% packet loss" in result.stdout


def test_packets_pass_the_script(place):
    rules = 'local tf = require "tunfilter"\ntf.on_packet("icmp", function() return tf.drop end)\n'
    result = lab(place, "--", "ping", "-4", "-c1", "-W1", "right", rules=rules)
    assert result.returncode == 1, result.stdout + result.stderr
    assert " 100% packet loss" in result.stdout


def test_names_of_the_machine_resolve_too(place):
    with open("/etc/hosts") as hosts:
        known = [line.split() for line in hosts if re.match(r"[0-9.]+\s", line)]
    if not known:
        pytest.skip("/etc/hosts is empty")
    result = lab(place, "--", "cat", "/etc/hosts")
    assert all(re.search(r"^%s\s+%s$" % (re.escape(a), re.escape(n[0])), result.stdout, re.M)
               for a, *n in known)


def test_own_addresses(place):
    result = lab(place, "--left", "tun,address=192.0.2.1/30", "--right",
                 "tun,address=192.0.2.2/30,address=2001:db8::2/64", "--", "sh", "-c",
                 "ip -o -4 address show dev tun0; cat /etc/hosts; ping -c1 -W5 192.0.2.2")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "inet 192.0.2.1/30" in result.stdout and "10.77" not in result.stdout + result.stderr
    assert re.search(r"^2001:db8::2\sright$", result.stdout, re.M)


def test_an_mtu_that_ipv6_does_not_allow(place):
    result = lab(place, "--left", "tun,mtu=1279", "--right", "tun,mtu=1280", "--", "ping", "-c1", "-W9", "10.77.0.2")
    assert result.returncode == 0 and "1 received" in result.stdout, result.stderr
    assert result.stderr.count("no IPv6 where the MTU is below 1280") == 1
    assert re.search("left .* mtu 1279, 10.77.0.1, ", result.stderr)
    assert re.search("right .* mtu 1280, 10.77.0.2 and fd77::2, ", result.stderr)


def test_one_tap_makes_both_taps(place):
    for side in ("--left", "--right"):
        result = lab(place, side, "tap", "--", "sh", "-c", "ip -o link show tap0; ping -c1 -W5 right")
        assert result.returncode == 0, result.stdout + result.stderr
        assert "link/ether" in result.stdout


@pytest.mark.parametrize("kind", ["tun", "tap"])
def test_an_idle_lab_is_quiet(place, kind):
    result = lab(place, "--left", kind, "--", "sh", "-c", "cat /proc/net/dev; sleep 3; cat /proc/net/dev; "
                 "sleep 2; cat /proc/net/dev")
    # The kernel's count of packets received and sent.
    counts = [(c.split()[1], c.split()[9]) for c in re.findall(r"%s0:(.*)" % kind, result.stdout)]
    if kind == "tun":
        assert counts == [("0", "0")] * 3
    else:  # the kernel tells once about the multicast group of its IPv6 address
        assert counts[1] == counts[2]


@pytest.mark.parametrize("option, word", [("memory", "memory"), ("tun,netns=blue", "netns=")])
def test_devices_that_make_no_lab(place, option, word):
    result = lab(place, "--right", option, "--", "true")
    assert result.returncode == 2
    assert word in result.stderr and "--right" in result.stderr


def test_a_server_on_the_right_is_waited_for(place):
    server = ("%s -c \"import socket, time; time.sleep(0.7); s = socket.create_server(('', 80)); "
              "s.accept()[0].sendall(b'hello')\"" % harness.sys.executable)
    result = lab(place, "--on-right", server, "--", "sh", "-c",
                 "exec %s -c \"import socket; s = socket.create_connection(('right', 80)); "
                 "print(s.recv(5).decode())\"" % harness.sys.executable)
    assert (result.returncode, result.stdout) == (0, "hello\n"), result.stderr


def test_http_server_as_the_manual_has_it(place):
    place.file("served", "some text\n")
    result = lab(place, "--on-right", "%s -m http.server 80" % harness.sys.executable, "--",
                 "curl", "-sS", "http://right/served")
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("some text\n")


def test_right_command_that_fails_is_told(place):
    result = lab(place, "--on-right", "exit 7", "--", "sleep", "0.5")
    assert result.returncode == 0
    assert "warning: the command on the right ended with status 7" in result.stderr


def test_right_command_that_ends_well_is_no_warning(place):
    result = lab(place, "-q", "--on-right", "exit 0", "--", "sleep", "0.5")
    assert (result.returncode, result.stderr) == (0, "")


def test_right_command_may_end_in_order(place):
    server = "trap 'echo bye >goodbye; exit' TERM; echo >up; while :; do sleep 0.05; done"
    result = lab(place, "--on-right", server, "--", "sh", "-c", "while ! [ -e up ]; do sleep 0.05; done")
    assert result.returncode == 0
    assert (place.path / "goodbye").read_text() == "bye\n"


def test_right_command_has_no_input(place):
    result = lab(place, "--on-right", "cat >input; echo >read", "--", "sh", "-c",
                 "while ! [ -e read ]; do sleep 0.05; done")
    assert result.returncode == 0
    assert (place.path / "input").read_text() == ""


def test_start_lines_and_quiet(place):
    loud = lab(place, "--", "true").stderr
    for word in ("10.77.0.1", "fd77::1", "10.77.0.2", "fd77::2", "tunfilter enter right"):
        assert word in loud
    quiet = lab(place, "-q", "--", "true")
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_nothing_is_left_behind(place):
    before = lab_tools.leavings()
    assert lab(place, "--on-right", "sleep 1000 & sleep 1000", "--", "sh", "-c",
               "sleep 1000 & setsid sleep 1000 & exit 3").returncode == 3
    assert lab_tools.leavings() == before


def test_script_at_fault(place):
    result = lab(place, "--", "sh", "-c", "echo it runs", rules="this is no Lua\n")
    assert result.returncode == 1
    assert ".lua:1:" in result.stderr and "it runs" not in result.stdout


def test_script_that_is_not_there(place):
    result = harness.run(place, "lab", "no-such-script.lua", "--", "true")
    assert result.returncode == 1 and "no-such-script.lua" in result.stderr


def test_commands_have_default_signals_and_no_files_of_ours(place):
    # What python gave us: the program under test is started with these, and should pass them on.
    result = lab(place, "--", "sh", "-c", "grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd")
    blocked, ignored, *files = result.stdout.split("\n")
    assert blocked.split()[1] == "0" * 16
    assert int(ignored.split()[1], 16) & (1 << 12) == 0  # SIGPIPE
    assert set(files) - {""} == {"0", "1", "2", "3"}  # 3: ls reads the folder


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_root(place):
    before = lab_tools.leavings()
    with open("/etc/hosts") as hosts:
        machine = hosts.read()
    result = lab(place, "--", "sh", "-c", "readlink /proc/self/ns/user; cat /etc/hosts; ping -c1 right",
                 user=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.split("\n")[0] == os.readlink("/proc/self/ns/user")
    assert re.search(r"^10\.77\.0\.2\s+right$", result.stdout, re.M)
    with open("/etc/hosts") as hosts:
        assert hosts.read() == machine
    assert lab_tools.leavings() == before


def test_two_labs_at_once(place):
    with lab_tools.start(place, "sleep 1000") as first, lab_tools.start(place, "sleep 1000") as second:
        assert lab_tools.pid_namespace(first.lab) != lab_tools.pid_namespace(second.lab)
        result = harness.run(place, "enter", "left", "--lab", second.lab, "--", "ping", "-c1", "right")
        assert result.returncode == 0, result.stderr


def test_a_lab_in_a_lab(place):
    script = place.script(harness.PASS)
    result = lab(place, "--", place.program, "lab", script, "--", "sh", "-c", "ping -c1 right; exit 9")
    assert result.returncode == 9, result.stderr
    assert " 0% packet loss" in result.stdout


def test_shell_reads_its_input_where_no_command_is_given(place):
    process = subprocess.run(harness.ordinary_user([place.program, "lab", place.script(harness.PASS)]),
                             input="hostname\nexit 5\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=dict(place.environment(), SHELL="/bin/sh"), cwd=place.path, text=True,
                             timeout=60)
    assert (process.returncode, process.stdout) == (5, "left\n"), process.stderr
