"""Where a command writes: nobody's work is lost for it, and what could not be written is told."""

import subprocess

import pytest
from scapy.layers.inet import IP, UDP

import captures
import harness

SCENARIOS = 'require "tunfilter.test".scenario("one", function() end)\n'


@pytest.fixture
def files(place):
    """The names of a script, its scenarios, a capture, a list, and another name of the script."""
    place.script(harness.PASS, "rules.lua")
    place.file("rules_test.lua", SCENARIOS)
    place.file("list.txt", "192.0.2.1\n")
    captures.write(place.path / "in.pcap", [bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP())])
    (place.path / "in.pcap").chmod(0o644)
    linked = place.path / "linked.lua"
    linked.unlink(missing_ok=True)
    linked.hardlink_to(place.path / "rules.lua")
    return place


@pytest.mark.parametrize(["words", "message"], [
    ("replay rules.lua in.pcap rules.lua", "OUT would write over rules.lua, the script"),
    ("replay rules.lua in.pcap ./linked.lua", "OUT would write over ./linked.lua, the script"),
    ("replay rules.lua in.pcap in.pcap", "OUT would write over in.pcap, which is read"),
    ("replay rules.lua in.pcap list.txt", "OUT would write over list.txt, which is no capture"),
    ("replay rules.lua in.pcap --capture list.txt", "--capture would write over list.txt, which is no capture"),
    ("replay rules.lua in.pcap --capture in.pcap", "--capture would write over in.pcap, which is read"),
    ("replay rules.lua in.pcap new.pcap --capture new.pcap", "--capture would write over new.pcap, which is written, too"),
    ("replay rules.lua in.pcap - --capture -", "--capture would write over standard output, which is written, too"),
    ("lab rules.lua --capture rules.lua -- true", "--capture would write over rules.lua, the script"),
    ("run rules.lua --capture linked.lua", "--capture would write over linked.lua, the script"),
    ("test rules.lua rules_test.lua --junit rules.lua", "--junit would write over rules.lua, the script"),
    ("test rules.lua rules_test.lua --junit rules_test.lua", "--junit would write over rules_test.lua, a file of scenarios"),
    ("test rules.lua rules_test.lua --junit list.txt", "--junit would write over list.txt, which is no report"),
])
def test_what_is_there_stays(files, words, message):
    before = {path.name: path.read_bytes() for path in files.path.iterdir() if path.suffix in (".lua", ".txt", ".pcap")}
    done = harness.run(files, *words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert "tunfilter: error: %s: " % message in done.stderr
    for name, content in before.items():
        assert (files.path / name).read_bytes() == content, name


def test_what_was_written_before_is_written_over(files):
    (files.path / "empty").touch()
    (files.path / "empty").chmod(0o666)
    for _ in range(2):
        for words in ("replay rules.lua in.pcap out.pcap --capture all.pcapng", "replay rules.lua in.pcap empty",
                      "replay rules.lua in.pcap /dev/null", "test rules.lua rules_test.lua --junit report.xml"):
            done = harness.run(files, *words.split())
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", ["replay rules.lua in.pcap -", "check rules.lua", "check --jit rules.lua", "--help", "doctor",
                                   "test rules.lua rules_test.lua"])
@pytest.mark.parametrize("to", [">&-", ">/dev/full"])
def test_standard_output_that_takes_nothing(files, words, to):
    done = subprocess.run(["sh", "-c", '"$@" %s' % to, "sh", files.program, *words.split()], cwd=files.path, check=False,
                          env=files.environment(), capture_output=True, text=True, timeout=harness.DEADLINE)
    assert done.returncode == 3, done.stderr
    assert "tunfilter: error: standard output" in done.stderr, done.stderr


RIGHT_ONLY = """local tf = require "tunfilter"
tf.on_packet{ "udp", from = tf.right, function() end }
"""


def test_a_replay_without_packets_from_the_right_says_so_where_a_callback_wants_them(files):
    script = files.script(RIGHT_ONLY)
    for words, said in ([], 1), (["-q"], 1), (["--left-net", "10.0.0.2"], 0):
        done = harness.run(files, "replay", script, "in.pcap", *words)
        assert done.stderr.count("no packet came from the right") == said, done.stderr
    assert "no packet came" not in harness.run(files, "replay", "rules.lua", "in.pcap").stderr


@pytest.mark.parametrize("then", ["drop", "forward"])
def test_a_replay_whose_callback_fails_says_so_at_the_end(files, then):
    script = files.script("local tf = require 'tunfilter'\ntf.on_packet(function() error 'no' end)\n")
    done = harness.run(files, "replay", script, "in.pcap", "--on-error", then)
    assert done.returncode == 0
    words = {"drop": "dropped", "forward": "forwarded"}[then]
    assert done.stderr.endswith("warning: a callback failed on 1 of 1 packets, which were %s (--on-error)\n" % words)


def test_a_lab_whose_right_command_never_listens_says_that_it_goes_on(files):
    done = harness.run(files, "lab", "rules.lua", "--on-right", "exec sleep 100", "--", "true")
    assert done.returncode == 0 and "warning: nothing listens on the right after 3 s: going on" in done.stderr, done.stderr
    done = harness.run(files, "lab", "rules.lua", "--", "true")
    assert "nothing listens" not in done.stderr
