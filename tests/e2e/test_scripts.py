"""The example scripts, each at its work between the two hosts of a lab."""

import re
import shutil
import subprocess
import sys
import time

import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, UDPerror
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NS, ICMPv6TimeExceeded, IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

import harness

LEFT, RIGHT = "10.77.0.1", "10.77.0.2"
LEFT6, RIGHT6 = "fd77::1", "fd77::2"
NOWHERE, NOWHERE6 = "10.77.0.99", "fd77::99"  # an address on the right that no host has: nobody answers
MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}


@pytest.fixture
def rules(place):
    """rules(name): an example script, where every user may read it."""
    return lambda name: place.file(name + ".lua", (harness.ROOT / "scripts" / (name + ".lua")).read_bytes())


def ok(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def sums_right(packet):
    """Whether checksums and lengths are what scapy would have written."""
    fresh = packet.copy()
    for layer in (IP, TCP, UDP, ICMP, ICMPv6EchoReply, ICMPv6TimeExceeded):
        if layer in fresh:
            for field in ("chksum", "cksum", "len"):
                if field in fresh[layer].fields:
                    del fresh[layer].fields[field]
    return bytes(fresh) == bytes(packet)


def through(source, target, packet, kind=IP):
    """What comes out on the other side, or None."""
    source.send(packet)
    data = target.receive_one(2)
    return data and kind(data)


def dropped(source, target, packet):
    source.send(packet)
    return target.nothing(0.1)


def serve(port, folder, bind="0.0.0.0"):
    return "exec %s -m http.server %d --bind %s --directory %s >&2" % (sys.executable, port, bind, folder)


@pytest.fixture
def site(place):
    """A folder to serve, with a page in it."""
    place.file("site/page", "Hello, and Hello again.\n")
    return place.path / "site"


def test_every_script_is_short_and_loads_without_settings(place, rules):
    names = sorted(path.stem for path in (harness.ROOT / "scripts").glob("*.lua"))
    assert len(names) >= 10
    for name in names:
        assert len(rules(name).read_text().splitlines()) <= 45, name
        ok(harness.run(place, "check", rules(name)))


def test_pass(place, rules):
    done = ok(harness.run_lab(place, rules("pass"), "ping", "-c", "2", "-i", "0.2", "right", options=["-v"]))
    assert len(re.findall(r"echo re.* forward by ", done.stderr)) == 4, done.stderr


def test_drop_icmp(place, rules):
    for address in (RIGHT, RIGHT6):
        done = harness.run_lab(place, rules("drop-icmp"), "ping", "-c", "1", "-W", "1", address)
        assert done.returncode == 1 and "100% packet loss" in done.stdout


def test_drop_icmp_leaves_the_rest(lab, rules):
    with lab(rules("drop-icmp")) as running:
        left, right = running.left, running.right
        for version, kept in ((IP(src=LEFT, dst=NOWHERE) / UDP(dport=9), True),
                              (IPv6(src=LEFT6, dst=NOWHERE6) / TCP(dport=9), True),
                              (IPv6(src=LEFT6, dst=NOWHERE6) / ICMPv6ND_NS(), True),
                              (IPv6(src=LEFT6, dst=NOWHERE6) / ICMPv6EchoReply(), False)):
            if kept:
                assert bytes(through(left, right, version, type(version))) == bytes(version)
            else:
                assert dropped(left, right, version)


def test_drop_icmp_on_tap_lets_neighbours_be_found(place, rules, site):
    ok(harness.run_lab(place, rules("drop-icmp"), "curl", "-sSf", "-m", "10", "http://[%s]:8000/page" % RIGHT6,
                       options=["--left", "tap", "--right", "tap", "--on-right", serve(8000, site, "::")]))


def test_allow_ports(place, rules, site):
    fetch = ["curl", "-4", "-sS", "-m", "2", "right:8000/page"]
    options = ["--on-right", serve(8000, site)]
    ok(harness.run_lab(place, rules("allow-ports"), *fetch, options=[*options, "--set", "ports=22,8000"]))
    assert harness.run_lab(place, rules("allow-ports"), *fetch, options=options).returncode == 28  # a timeout
    ok(harness.run_lab(place, rules("allow-ports"), "ping", "-c", "1", "right"))
    done = harness.run(place, "check", rules("allow-ports"), "--set", "ports=22,http")
    assert done.returncode == 1 and "not http" in done.stderr


@pytest.mark.parametrize("ip, tail, passes", [
    (IP, TCP(dport=80, flags="S"), True),
    (IP, TCP(dport=81, flags="S"), False),
    (IP, TCP(sport=80, dport=5000, flags="SA"), True),
    (IP, TCP(sport=80, dport=5000, flags="S"), False),
    (IP, TCP(sport=81, dport=5000, flags="A"), False),
    (IP, UDP(dport=80), True),
    (IP, UDP(sport=80, dport=5000), True),
    (IP, UDP(dport=81), False),
    (IPv6, TCP(dport=80, flags="S"), True),
    (IPv6, TCP(dport=81, flags="S"), False),
    (IPv6, UDP(dport=81), False),
    (IPv6, ICMPv6EchoRequest(), True),
])
def test_allow_ports_packet_by_packet(lab, rules, ip, tail, passes):
    addresses = {"src": LEFT, "dst": NOWHERE} if ip is IP else {"src": LEFT6, "dst": NOWHERE6}
    with lab(rules("allow-ports"), "--set", "ports=80") as running:
        packet = ip(**addresses) / tail
        if passes:
            assert bytes(through(running.left, running.right, packet, ip)) == bytes(packet)
        else:
            assert dropped(running.left, running.right, packet)


def test_allow_ports_and_what_would_slip_by(lab, rules):
    addresses = {"src": LEFT, "dst": NOWHERE}
    cut_off = IP(proto=6, flags="MF", **addresses) / Raw(bytes(TCP(dport=81))[:8])
    options = bytes([17, 0, 1, 4, 0, 0, 0, 0])  # hop-by-hop options: tcpdump's "udp" does not look behind
    behind = IPv6(src=LEFT6, dst=NOWHERE6, nh=0) / Raw(options + bytes(UDP(dport=81)))
    later = IP(proto=6, frag=100, **addresses) / Raw(b"x" * 64)
    with lab(rules("allow-ports"), "--set", "ports=80") as running:
        assert dropped(running.left, running.right, cut_off)
        assert dropped(running.left, running.right, behind)
        assert bytes(through(running.left, running.right, later)) == bytes(later)


@pytest.mark.parametrize("host", [RIGHT, "[%s]" % RIGHT6])
def test_redirect_port(place, rules, site, host):
    done = ok(harness.run_lab(place, rules("redirect-port"), "curl", "-gsSf", "-m", "10", "http://%s/page" % host,
                              options=["--on-right", serve(8080, site, "::")]))
    assert done.stdout == "Hello, and Hello again.\n"


def test_redirect_port_udp_and_settings(lab, rules):
    with lab(rules("redirect-port"), "--set", "asked=53", "--set", "served=5353") as running:
        came = through(running.left, running.right, IP(src=LEFT, dst=NOWHERE) / UDP(sport=999, dport=53) / "x")
        assert came[UDP].dport == 5353 and came[UDP].sport == 999 and sums_right(came)
        came = through(running.right, running.left, IP(src=NOWHERE, dst=NOWHERE) / UDP(sport=5353, dport=53) / "x")
        assert came[UDP].sport == 53 and came[UDP].dport == 53 and sums_right(came)
        other = IP(src=LEFT, dst=NOWHERE) / UDP(dport=54)
        assert bytes(through(running.left, running.right, other)) == bytes(other)


@pytest.mark.skipif(not shutil.which("traceroute", path="/usr/bin:/usr/sbin:/sbin"), reason="no traceroute here")
def test_traceroute_shows_the_extra_hop(place, rules):
    def hops(name, version):
        command = "PATH=$PATH:/usr/sbin:/sbin; exec traceroute -%d -n -w 2 -q 1 right" % version
        done = ok(harness.run_lab(place, rules(name), "sh", "-c", command))
        return re.findall(r"^ *\d+ +(\S+) ", done.stdout, re.M)

    assert hops("pass", 4) == [RIGHT]
    assert hops("extra-hop", 4) == ["10.77.0.254", RIGHT]
    assert hops("pass", 6) == [RIGHT6]
    assert hops("extra-hop", 6) == ["fd77::254", RIGHT6]


@pytest.mark.parametrize("kind", ["tun", "tap"])
@pytest.mark.parametrize("flag, left", [("-4", "10.77.0.254"), ("-6", "fd77::254")])
def test_extra_hop_answers_a_ping_whose_ttl_runs_out(place, rules, kind, flag, left):
    options = ["--left", kind, "--right", kind]
    done = harness.run_lab(place, rules("extra-hop"), "ping", flag, "-c", "1", "-t", "1", "right", options=options)
    assert done.returncode == 1
    assert re.search(r"From %s .*Time (to live )?exceeded" % re.escape(left), done.stdout), done.stdout
    done = ok(harness.run_lab(place, rules("extra-hop"), "ping", flag, "-c", "1", "right", options=options))
    assert "ttl=63" in done.stdout


def test_extra_hop_packet_by_packet(lab, rules):
    with lab(rules("extra-hop"), "--set", "router=192.0.2.1", "--set", "router6=2001:db8::1") as running:
        left, right = running.left, running.right
        probe = IP(src="10.77.0.50", dst=NOWHERE, ttl=1, options=b"\x01" * 4) / UDP(dport=33434) / ("x" * 1400)
        answer = through(left, left, probe)
        assert (answer.src, answer.dst) == ("192.0.2.1", "10.77.0.50")
        assert (answer[ICMP].type, answer[ICMP].code) == (11, 0)
        assert answer[IPerror].dst == NOWHERE and answer[UDPerror].dport == 33434
        assert sums_right(answer) and len(answer) <= 576
        assert right.nothing(0.1)

        probe = IPv6(src="fd77::50", dst=NOWHERE6, hlim=1) / UDP(dport=33434) / "x"
        answer = through(left, left, probe, IPv6)
        assert (answer.src, answer.dst) == ("2001:db8::1", "fd77::50")
        assert ICMPv6TimeExceeded in answer and bytes(answer).endswith(bytes(probe)) and sums_right(answer)

        for silent in (IP(src=LEFT, dst=NOWHERE, ttl=1) / ICMP(type=3) / bytes(IP() / UDP()),
                       IPv6(src=LEFT6, dst=NOWHERE6, hlim=1) / ICMPv6TimeExceeded() / bytes(IPv6() / UDP())):
            assert dropped(left, left, silent)
        for untouched in (IP(src=LEFT, dst="224.0.0.251", ttl=1) / UDP(dport=5353),
                          IPv6(src=LEFT6, dst=RIGHT6, hlim=255) / ICMPv6ND_NS()):
            right.drain()
            assert bytes(through(left, right, untouched, type(untouched))) == bytes(untouched)


def test_extra_hop_behind_a_vlan_tag(lab, rules):
    with lab(rules("extra-hop"), kind="tap") as running:
        probe = Ether(**MACS) / Dot1Q(vlan=7) / IP(src=LEFT, dst=NOWHERE, ttl=1) / UDP(dport=33434)
        answer = through(running.left, running.left, probe, Ether)
        assert (answer.src, answer.dst) == (MACS["dst"], MACS["src"])
        assert answer[Dot1Q].vlan == 7 and answer[ICMP].type == 11 and answer[UDPerror].dport == 33434


def test_rewrite_http(place, rules, site):
    options = ["--on-right", serve(8000, site)]
    fetch = ["curl", "-4", "-sSf", "--compressed", "-m", "10", "right:8000/page"]
    done = ok(harness.run_lab(place, rules("rewrite-http"), *fetch, options=options))
    assert done.stdout == "Howdy, and Howdy again.\n"
    assert "changed Hello to Howdy, times 2" in done.stderr
    done = ok(harness.run_lab(place, rules("rewrite-http"), *fetch,
                              options=[*options, "--set", "old=again", "--set", "new=twice"]))
    assert done.stdout == "Hello, and Hello twice.\n"
    done = harness.run(place, "check", rules("rewrite-http"), "--set", "new=longer")
    assert done.returncode == 1 and "same length" in done.stderr


def test_rewrite_http_hides_that_compression_is_welcome(lab, rules):
    request = "GET / HTTP/1.1\r\n%s: gzip\r\n\r\n"
    with lab(rules("rewrite-http")) as running:
        for name in ("Accept-Encoding", "accept-encoding"):
            came = through(running.left, running.right,
                           IP(src=LEFT, dst=NOWHERE) / TCP(dport=8000, flags="PA") / (request % name))
            assert bytes(came[TCP].payload).lower() == (request % "ignore-encoding").lower().encode()
            assert sums_right(came)


@pytest.mark.parametrize("host", [RIGHT, "[%s]" % RIGHT6])
def test_rewrite_http_any(place, rules, site, host):
    options = ["--on-right", serve(8000, site, "::")]
    fetch = ["curl", "-gsSf", "--compressed", "-m", "10", "http://%s:8000/page" % host]
    done = ok(harness.run_lab(place, rules("rewrite-http-any"), *fetch, options=options))
    assert done.stdout == "Good morning, and Good morning again.\n"
    done = ok(harness.run_lab(place, rules("rewrite-http-any"), *fetch,
                              options=[*options, "--set", "old=ello", "--set", "new=i"]))
    assert done.stdout == "Hi, and Hi again.\n"


def test_count_protocols(place, rules):
    done = ok(harness.run_lab(place, rules("count-protocols"), "sh", "-c",
                              "ping -c 3 -i 0.2 right; ping -c 1 %s; sleep 1" % RIGHT6,
                              options=["--set", "seconds=0.5"]))
    lines = re.findall(r"(ICMP|ICMPv6) +(\d+) packets +(\d+) bytes", done.stderr)
    assert len(lines) > 2, done.stderr  # by the timer, and at the end
    assert ("ICMP", "6", str(6 * 84)) == [line for line in lines if line[0] == "ICMP"][-1]
    assert ("ICMPv6", "2", str(2 * 104)) == [line for line in lines if line[0] == "ICMPv6"][-1]


def test_count_protocols_on_tap_and_of_unknown_ones(lab, rules):
    with lab(rules("count-protocols"), "--set", "seconds=3600", kind="tap") as running:
        for packet in (Ether(**MACS) / ARP(), Ether(type=0x9000, **MACS) / Raw(b"x" * 50),
                       Ether(**MACS) / IP(dst=NOWHERE, proto=200), Ether(**MACS) / IP(dst=NOWHERE, proto=200)):
            running.left.send(packet)
        running.right.receive(4)
    for line in ("ARP +1 packets", "other +1 packets", "IP protocol 200 +2 packets"):
        assert re.search(line, running.stderr), running.stderr


@pytest.mark.parametrize("kind", ["tun", "tap"])
@pytest.mark.parametrize("address", [RIGHT, RIGHT6])
def test_echo(place, rules, kind, address):
    done = ok(harness.run_lab(place, rules("echo"), "ping", "-c", "2", "-i", "0.2", address,
                              options=["--left", kind, "--right", kind]))
    table = harness.tables(done.stderr)[-1]
    assert table["replied"] == [2, 0]


@pytest.mark.parametrize("address", [NOWHERE, NOWHERE6, "192.0.2.9"])
def test_echo_for_hosts_that_do_not_exist(place, rules, address):
    done = ok(harness.run_lab(place, rules("echo"), "ping", "-c", "1", "-s", "1000", address))
    assert "ttl=64" in done.stdout
    assert harness.tables(done.stderr)[-1]["forwarded"] == [0, 0]


def test_echo_leaves_the_rest(lab, rules):
    with lab(rules("echo")) as running:
        for packet in (IP(src=LEFT, dst=NOWHERE) / ICMP(type=0) / "x",
                       IP(src=LEFT, dst=NOWHERE, flags="MF") / ICMP() / ("x" * 64),
                       IPv6(src=LEFT6, dst=NOWHERE6) / IPv6ExtHdrFragment(m=1) / ICMPv6EchoRequest(),
                       IP(src=LEFT, dst=NOWHERE) / UDP()):
            assert bytes(through(running.left, running.right, packet, type(packet))) == bytes(packet)
        assert running.left.nothing(0.1)


@pytest.mark.parametrize("kind", ["tun", "tap"])
def test_nat(place, rules, site, kind):
    options = ["--left", kind, "--right", kind, "-v", "--on-right", serve(8000, site)]
    done = ok(harness.run_lab(place, rules("nat"), "sh", "-c",
                              "ping -c 1 10.99.0.1 && curl -sSf -m 10 10.99.0.1:8000/page", options=options))
    assert "from 10.99.0.1" in done.stdout and "Hello, and" in done.stdout
    assert "%s > %s: ICMP echo request" % (LEFT, RIGHT) in done.stderr  # as right got it


def test_nat_packet_by_packet(lab, rules):
    with lab(rules("nat"), "--set", "public=fd99::1", "--set", "private=fd77::99") as running:
        for tail in (TCP(sport=1, dport=2), UDP(sport=1, dport=2) / "odd", ICMPv6EchoRequest(data="x")):
            came = through(running.left, running.right, IPv6(src=LEFT6, dst="fd99::1") / tail, IPv6)
            assert bytes(came) == bytes(IPv6(src=LEFT6, dst="fd77::99") / tail)
            came = through(running.right, running.left, IPv6(src="fd77::99", dst="fd77::50") / tail, IPv6)
            assert bytes(came) == bytes(IPv6(src="fd99::1", dst="fd77::50") / tail)


# On right: a link behind it whose packets have 1,280 bytes, to which it forwards.
NARROW = """
ip tuntap add narrow mode tun && ip address add 10.88.0.1/24 dev narrow && ip address add fd88::1/64 dev narrow nodad &&
ip link set narrow mtu 1280 up && echo 1 > /proc/sys/net/ipv4/ip_forward && echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
"""

# Asks until its kernel has heard that nobody listens at the first address, and how narrow the way to the second one is.
ASKER = """
import socket, sys, time

def asks(address, size, heard):
    six = ":" in address
    asker = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    asker.setsockopt(*((socket.IPPROTO_IPV6, 23, 2) if six else (socket.IPPROTO_IP, 10, 2)))  # MTU_DISCOVER: never a fragment
    asker.settimeout(0.1)
    asker.connect((address, 9))
    for _ in range(200):
        try:
            asker.send(bytes(size))
            asker.recv(1)
        except OSError as error:
            if heard(asker, error):
                return
    sys.exit(address + ": nothing heard")

def mtu(asker):
    return asker.getsockopt(*((socket.IPPROTO_IPV6, 24) if asker.family == socket.AF_INET6 else (socket.IPPROTO_IP, 14)))

if sys.argv[1]:
    asks(sys.argv[1], 1, lambda _, error: isinstance(error, ConnectionRefusedError))
if sys.argv[2]:
    asks(sys.argv[2], 1400, lambda asker, _: mtu(asker) == 1280)
"""


@pytest.mark.parametrize("name, settings, refused, narrow, kind", [
    ("nat", [], "10.99.0.1", "", "tun"), ("nat", [], "10.99.0.1", "", "tap"),
    ("nat", ["private=10.88.0.9"], "", "10.99.0.1", "tun"),
    ("nat", ["public=fd99::1", "private=fd77::2"], "fd99::1", "", "tun"),
    ("nat", ["public=fd99::1", "private=fd88::9"], "", "fd99::1", "tun"),
    ("nat-ports", [], RIGHT, "10.88.0.9", "tun"),
])
def test_errors_find_their_way_through_nat(place, rules, name, settings, refused, narrow, kind):
    options = ["--left", kind, "--right", kind, "--on-right", NARROW]
    for setting in settings:
        options += ["--set", setting]
    asker = place.file("asker.py", ASKER)
    done = harness.run_lab(place, rules(name), sys.executable, asker, refused, narrow, options=options)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("traceroute"), reason="no traceroute here")
def test_traceroute_through_nat(place, rules):
    for name, target in (("nat", "10.99.0.1"), ("nat-ports", RIGHT)):
        done = ok(harness.run_lab(place, rules(name), "traceroute", "-n", "-q", "1", "-m", "3", "-w", "5", target))
        assert re.findall(r"^ *(\d) +([\d.]+|\*)", done.stdout, re.M) == [("1", target)], done.stdout


def test_log_dns(lab, rules):
    deep = b"\x01a" * 127 + b"\x00"  # 255 bytes, the most that a name may have
    good = {
        bytes(DNS(rd=1, qd=DNSQR(qname="www.example.org"))): "www.example.org. (A)",
        bytes(DNS(rd=1, qd=DNSQR(qname="example.org", qtype="AAAA"))): "example.org. (AAAA)",
        bytes(DNS(qd=DNSQR(qname="x.test", qtype=4660))): "x.test. (type 4660)",
        bytes(DNS(qd=DNSQR(qname="."))): "asks for . (A)",
        bytes(DNS(qd=DNSQR(qname=b"a\n\x1b[31m;b.test"))): "a???31m?b.test. (A)",
        bytes(DNS(qd=DNSQR(qname="x")))[:12] + deep + b"\0\1\0\1": "a." * 127 + " (A)",
    }
    header = bytes(DNS(qd=DNSQR(qname="x")))[:12]
    bad = [
        b"", b"\0", header[:2], header[:5], header, header + b"\0", header + b"\0\0\1\0",
        header + b"\x03ww", header + b"\x3f" + b"x" * 10 + b"\0\1\0\1", header + b"\x01x" * 40,
        header + b"\xc0\x0c\0\1\0\1", header + b"\x01x\xc0\x0c\0\1\0\1", header + b"\x40" + b"x" * 64 + b"\0\0\1\0\1",
        header + b"\x01a" * 126 + b"\x02aa" + b"\0" + b"\0\1\0\1", header + b"\x01x\0" + b"\0\1\0",
        bytes(DNS(qr=1, qd=DNSQR(qname="answer.test"))),
        header[:4] + b"\0\0" + header[6:] + b"\x01x\0\0\1\0\1",
    ]
    with lab(rules("log-dns")) as running:
        for question in [*bad, *good]:
            packet = IP(src=LEFT, dst=NOWHERE) / UDP(sport=1234, dport=53) / Raw(question)
            assert bytes(through(running.left, running.right, packet)) == bytes(packet)
        cut_off = IP(src=LEFT, dst=NOWHERE, proto=17) / Raw(bytes(UDP(dport=53))[:6])
        assert bytes(through(running.left, running.right, cut_off)) == bytes(cut_off)
        deadline = time.monotonic() + 10
        while running.stderr.count("asks for") < len(good) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert running.table()["errors"] == [0, 0]
    lines = [line for line in running.stderr.splitlines() if "asks for" in line]
    for line, expected in zip(lines, [*good.values()]):
        assert line.endswith(expected) and LEFT in line
    assert len(lines) == len(good), lines


@pytest.mark.parametrize("kind", ["tun", "tap"])
@pytest.mark.parametrize("settings, expected", [([], (3, 0)), (["--set", "address=192.0.2.7"], (0, 1))])
def test_dns_block(lab, rules, kind, settings, expected):
    ethernet = Ether if kind == "tap" else None
    for network in (IP(src=LEFT, dst=NOWHERE), IPv6(src=LEFT6, dst=NOWHERE6)):
        top = ethernet or type(network)
        with lab(rules("dns-block"), *settings, kind=kind) as running:
            def question(name):
                asked = network / UDP(sport=5353, dport=53) / DNS(id=7, rd=1, qd=DNSQR(qname=name))
                return Ether(**MACS) / asked if ethernet else asked

            other = question("www.example.org")
            assert bytes(through(running.left, running.right, other, top)) == bytes(other)
            asked = question("WWW.Tracker.Example")
            answer = through(running.left, running.left, asked, top)
            assert (answer[type(network)].src, answer[type(network)].dst) == (network.dst, network.src)
            assert (answer[UDP].sport, answer[UDP].dport) == (53, 5353) and sums_right(answer)
            if ethernet:
                assert (answer.src, answer.dst) == (MACS["dst"], MACS["src"])
            said = answer[DNS]
            assert (said.id, said.qr, said.qd.qname) == (7, 1, b"WWW.Tracker.Example.")
            assert (said.rcode, said.ancount) == expected
            if said.ancount:
                assert (said.an.rrname, said.an.rdata) == (b"WWW.Tracker.Example.", "192.0.2.7")
            assert running.right.nothing(0.1)


TLS_SERVER = """
import http.server, ssl, sys
server = http.server.HTTPServer(("0.0.0.0", 443), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


# Its hello of 500 bytes goes in segments of less than 100; the name is in the second.
TLS_CLIENT = """
import socket, ssl, sys, time
context = ssl._create_unverified_context()
while True:
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 100)
    try:
        connection.connect((sys.argv[1], 443))
        break
    except ConnectionRefusedError:
        time.sleep(0.1)
try:
    with context.wrap_socket(connection, server_hostname=sys.argv[2]) as connection:
        connection.sendall(b"GET /page HTTP/1.0\\r\\n\\r\\n")
        print(connection.makefile().read())
except ConnectionResetError:
    sys.exit("reset")
"""


# A link before the script that loses these of a client's segments once: they come again, behind the others.
TLS_LOSS = """
local lost, number = { %s }, 0
require("tunfilter").on_packet{ from = require("tunfilter").left, function(pkt)
   if not pkt.tcp or pkt.payload == "" then return end
   number = number + 1
   if lost[number] then return require("tunfilter").drop end
end }
"""


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl here")
@pytest.mark.parametrize("client, lost", [("curl", ""), ("in small segments", ""), ("in small segments", "true"),
                                          ("in small segments", "nil, true"), ("in small segments", "true, true")])
def test_tls_block(place, rules, site, client, lost):
    pem = site / "pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-subj", "/CN=x", "-keyout", pem, "-out", site / "cert"], check=True, capture_output=True)
    place.file("site/pem", pem.read_text() + (site / "cert").read_text())
    server = place.file("site/server.py", TLS_SERVER)
    options = ["--on-right", "cd %s && exec %s %s %s >&2" % (site, sys.executable, server, pem)]

    def fetch(name):
        command = ["curl", "-4sSfk", "-m", "10", "--retry", "5", "--retry-connrefused", "--resolve", name + ":443:" + RIGHT,
                   "https://%s/page" % name]
        if client != "curl":
            command = [sys.executable, place.file("client.py", TLS_CLIENT), RIGHT, name]
        return harness.run_lab(place, TLS_LOSS % lost + rules("tls-block").read_text(), *command, options=options)

    assert "Hello, and" in ok(fetch("www.example.org")).stdout
    done = fetch("www.ads.example")
    assert done.returncode == (35 if client == "curl" else 1) and "reset" in done.stderr, done.stderr
    assert "wanted\twww.ads.example" in done.stderr


def test_switch_and_arp_answer(place, rules):
    tap = ["--left", "tap", "--right", "tap"]
    ok(harness.run_lab(place, rules("switch"), "ping", "-c", "2", "-i", "0.2", "right", options=tap))
    done = harness.run_lab(place, rules("arp-answer"), "sh", "-c",
                           "ping -c 1 -W 1 10.77.0.99; ip neigh show 10.77.0.99", options=tap)
    assert "lladdr 02:00:00:00:00:99" in done.stdout


def test_nat_ports(place, rules, site):
    done = ok(harness.run_lab(place, rules("nat-ports"), "sh", "-c",
                              "ping -c 2 -i 0.2 %s && for i in 1 2 3; do curl -sSf -m 10 %s:8000/page; done" % (RIGHT, RIGHT),
                              options=["--on-right", serve(8000, site), "-v"]))
    assert done.stdout.count("Hello, and Hello again.") == 3 and "0% packet loss" in done.stdout
    assert done.stderr.count("10.99.0.1 - - ") == 3, done.stderr  # the server's own log
    assert "IP 10.99.0.1.40003 > 10.77.0.2.8000" in done.stderr
