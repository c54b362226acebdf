"""The commands that need no device: the same words, files and statuses as the Linux program's."""

import subprocess

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether

import captures
import harness
import wine

ROOT = harness.ROOT


def linux(folder, *argv):
    """The ordinary build's program, with the same words, in the same folder."""
    return subprocess.run([str(harness.PROGRAM), *map(str, argv)], cwd=folder.path, stdin=subprocess.DEVNULL, check=False,
                          capture_output=True, timeout=harness.DEADLINE, env={**wine.environment(), "LC_ALL": "C.UTF-8"})


def same(folder, *argv):
    """Runs both; they print the same and end alike. What they answered, Windows' first."""
    theirs, ours = linux(folder, *argv), wine.run(folder, *argv)
    assert ours.returncode == theirs.returncode, (argv, ours, theirs)
    assert ours.stdout == theirs.stdout, argv
    return ours, theirs


@pytest.mark.parametrize("name", ["nat-ports", "dns-block", "tls-block"])
def test_check_says_the_same(folder, name):
    ours, theirs = same(folder, "check", ROOT / "scripts" / (name + ".lua"))
    assert ours.returncode == 0 and ours.stderr == theirs.stderr


@pytest.mark.parametrize("text", ["local tf = requir 'tunfilter'", 'require("tunfilter").on_packet("tpc", function() end)', "x ="])
def test_mistakes_are_explained_alike(folder, text):
    ours, theirs = same(folder, "check", folder.script(text, "mistake.lua").name)
    assert ours.returncode == 1 and ours.stderr == theirs.stderr and b"mistake.lua" in ours.stderr


def test_the_command_lines_mistakes(folder):
    for argv in (["run"], ["chekc", "x.lua"], ["run", "x.lua", "--letf", "tun"], ["--version"], ["replay", "x.lua", "no.pcap"]):
        ours, theirs = same(folder, *argv)
        assert ours.stderr == theirs.stderr, argv


SCENARIOS = [ROOT / "tests/spec/scripts/nat-ports_test.lua", ROOT / "tests/spec/scripts/dns-block_test.lua",
             ROOT / "tests/spec/order_test.lua"]


@pytest.mark.parametrize("tests", SCENARIOS, ids=lambda path: path.stem)
def test_scenarios_pass_with_the_same_lines(folder, tests):
    name = tests.name.replace("_test", "")
    rules = ROOT / "scripts" / name if tests.parent.name == "scripts" else tests.with_name(name)
    ours, _ = same(folder, "test", rules, tests)
    assert ours.returncode == 0 and b"\nok" in b"\n" + ours.stdout


def test_scenarios_that_fail_with_the_same_lines(folder):
    folder.file("drop.lua", 'local tf = require "tunfilter"\ntf.on_packet(function() return tf.drop end)')
    folder.file("drop_test.lua", 'local tf, t = require "tunfilter", require "tunfilter.test"\n'
                't.scenario("comes out", function() local p = tf.packet{ ip = {}, udp = {} } t.send(tf.left, p) t.expect(tf.right, p) end)')
    ours, _ = same(folder, "test", "drop.lua", "drop_test.lua", "--junit", "report.xml")
    assert ours.returncode == 1 and b"not ok 1" in ours.stdout


def traffic(count=200):
    """Frames of several kinds, their lengths all different."""
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")  # given, or scapy asks the network
    for number in range(count):
        there = {"src": "10.77.0.1", "dst": "10.77.0.%d" % (2 + number % 3)}
        data = bytes((number + i) & 255 for i in range(number * 7))
        for upper in (TCP(sport=1000 + number, dport=80, flags="PA"), UDP(sport=5353, dport=53), ICMP(id=number)):
            yield bytes(ether / IP(**there, id=number) / upper / data)
        yield bytes(ether / IPv6(src="fd77::1", dst="fd77::2") / TCP(sport=number, dport=80) / data)
        yield bytes(ether / ARP(hwsrc="02:00:00:00:00:01", psrc="10.77.0.1", pdst="10.77.0.2"))


RULES = """
local tf = require "tunfilter"
local netem = require "tunfilter.netem"
tf.on_packet("tcp dst port 80", function(pkt)
   pkt.tcp.dport = 8080
   pkt:replace("\\1\\2", "replaced")
end)
tf.on_packet("udp", function(pkt) pkt.ip.ttl = pkt.ip.ttl - 1; tf.send(pkt.to, pkt:copy()); return pkt:hold(0.01) end)
tf.on_packet("icmp and ip[4:2] & 1 = 1", function(pkt) return pkt:reject() end)
tf.on_packet{ from = tf.left, netem{ loss = 0.1, jitter = 0.005, delay = 0.02, corrupt = 0.01 } }
"""


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
def test_replay_writes_the_same_bytes(folder, form):
    source = captures.write(folder.path / "in.pcap", traffic(), captures.ETHERNET)
    rules = folder.script(RULES, "many.lua")
    written = []
    for run in (linux, wine.run):
        out, verdicts = folder.path / ("out." + form), folder.path / "verdicts.pcapng"
        done = run(folder, "replay", rules.name, source.name, out.name, "--capture", verdicts.name, "--seed", "7", "-v")
        assert done.returncode == 0, done.stderr
        # Windows confines no script.
        rows = [line for line in done.stderr.splitlines()
                if not line.startswith((b"seconds", b"in/s", b"tunfilter: the script runs as"))]
        written.append((out.read_bytes(), verdicts.read_bytes(), done.stdout, rows))
        out.unlink()
        verdicts.unlink()
    assert written[0][0] == written[1][0], "the output"
    assert written[0][1] == written[1][1], "the verdicts"
    assert written[0][2:] == written[1][2:], "what was said"
    assert len(written[0][0]) > 100_000


def test_replay_through_standard_output(folder):
    source = captures.write(folder.path / "in.pcap", traffic(20), captures.ETHERNET)
    ours, theirs = same(folder, "replay", ROOT / "scripts/pass.lua", source.name, "-", "-q")
    assert ours.returncode == 0 and len(ours.stdout) > 10_000 and ours.stdout == theirs.stdout


class TestFiles:
    """A script reaches what lies beside it, however Windows spells the way, and nothing else."""

    LOAD = 'local tf = require "tunfilter"\nassert(tf.nets.load([[%s]]):contains("10.1.2.3"))'

    @pytest.fixture
    def tree(self, folder):
        folder.file("rules/below/list.txt", "10.0.0.0/8\n")
        folder.file("rules/below/part.lua", "return 1")
        folder.file("list.txt", "10.0.0.0/8\n")
        return folder

    def check(self, folder, text, script="rules\\load.lua", *options):
        folder.file("rules/load.lua", text)
        return wine.run(folder, "check", script, *options)

    @pytest.mark.parametrize("path", ["below/list.txt", "below\\list.txt", ".\\below\\.\\list.txt"])
    @pytest.mark.parametrize("absolute", [False, True])
    def test_beside(self, tree, path, absolute):
        script = "Z:" + str(tree.path / "rules/load.lua").replace("/", "\\") if absolute else "rules/load.lua"
        assert self.check(tree, self.LOAD % path, script).returncode == 0

    def test_modules(self, tree):
        assert self.check(tree, 'assert(require "below.part" == 1)').returncode == 0

    @pytest.mark.parametrize("path", ["..\\list.txt", "../list.txt", "below\\..\\..\\list.txt", ".. \\list.txt", "...\\list.txt",
                                      "C:\\windows\\win.ini", "C:win.ini", "\\windows\\win.ini", "\\\\?\\C:\\windows\\win.ini",
                                      "below/list.txt::$DATA", "con", "below\\NUL.txt", "Com1 .x", "list.txt."])
    def test_elsewhere(self, tree, path):
        done = self.check(tree, self.LOAD % path)
        assert done.returncode == 1 and b"a file beside the script or in a folder there" in done.stderr, done.stderr

    def test_a_device_is_no_module(self, tree):
        done = self.check(tree, 'require "con"')
        assert done.returncode == 1 and b"there is no module 'con'" in done.stderr, done.stderr

    def test_anywhere_with_unsafe(self, tree):
        where = "Z:" + str(tree.path / "list.txt").replace("/", "\\")
        for path in ("..\\list.txt", where):
            assert self.check(tree, self.LOAD % path, "rules/load.lua", "--unsafe").returncode == 0


def test_names_that_are_not_english(folder):
    folder.file("größe-日本.lua", harness.PASS)
    ours, _ = same(folder, "check", "größe-日本.lua")
    assert ours.returncode == 0, ours.stderr
