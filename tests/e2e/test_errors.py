"""What goes wrong has a message and an exit status of its own, and a failing callback does not stop the traffic."""

import os
import re
import shlex
import subprocess

import pytest
from scapy.all import IP, UDP, Raw

import captures
import harness
import wire

SCRIPT, USAGE, SYSTEM = 1, 2, 3
HEADER = 'local tf = require "tunfilter"\n'


def one_message(done, status, *patterns):
    """The program ended with this status and said these things, in an error line, and no more than once."""
    assert done.returncode == status, done.stderr
    for pattern in patterns:
        assert re.search(pattern, done.stderr), "no %r in:\n%s" % (pattern, done.stderr)
    assert done.stderr.startswith("tunfilter: "), done.stderr
    assert len(re.findall(r"^tunfilter: error: ", done.stderr, re.M)) == 1, done.stderr


@pytest.mark.parametrize("command", ["run", "lab", "check"])
class TestScript:
    """What is wrong with a script shows before any device is opened or command run, whatever the command."""

    def run(self, place, command, script):
        behind = ["--", "echo", "ran"] if command == "lab" else []
        done = harness.run(place, command, script, *behind)
        assert "ran" not in done.stdout
        return done

    def test_that_is_not_there(self, place, command):
        one_message(self.run(place, command, "nowhere.lua"), SCRIPT, r"nowhere\.lua: No such file")

    def test_with_a_syntax_error(self, place, command):
        script = place.script(HEADER + "\nlocal x = = 1\n", "syntax.lua")
        one_message(self.run(place, command, script), SCRIPT, r"syntax\.lua:3: .*near '='")


@pytest.mark.parametrize("text, message", [
    ("tf.on_packet(print)", r"rules\.lua:1: .*\n.*\n\ta script begins with: local tf = require \"tunfilter\""),
    (HEADER + 'require "ffi"', r"'ffi' is not for scripts \(--unsafe"),
    (HEADER + "tf.drop(5)", r"rules\.lua:2: tf\.drop is to be returned, not called: return tf\.drop"),
    (HEADER + "tf.on_packet('icmp', tf.drop)", r"rules\.lua:2: tf\.on_packet takes"),
    (HEADER + "tf.on_packet{ from = 'left', print }", r"from is tf\.left or tf\.right, not \"left\""),
    (HEADER + "tf.send('left', 'x')", r"the side is tf\.left or tf\.right, not \"left\""),
    (HEADER + "tf.after('1', print)", r"rules\.lua:2: .*a number of seconds from 0 to 1e9, not \"1\""),
    (HEADER + "tf.every(1, 1)", r"rules\.lua:2: tf\.every: the second argument is a function"),
    (HEADER + "tf.on_packet{ expression = 'udp', print }", r"rules\.lua:2: .*no member 'expression'; .*tf\.on_packet takes"),
    (HEADER + "io.open('x')", r"rules\.lua:2: .*\n.*\n\tscripts have the safe part of Lua \(--unsafe"),
    (HEADER + "error('from ' .. tf.left .. ' to ' .. tf.right)", r"from left to right"),
    (HEADER + "error(setmetatable({}, { __tostring = function() error 'no' end }))", r"the error value is a table\n\t.*rules\.lua:2:"),
    (HEADER + "error(42)", r"rules\.lua:2: 42\n"),
    (HEADER + "tf.on_packet('icmp', tf.drop)", r'not \("icmp", tf\.drop\)'),
    (HEADER + "tf.every(print, 5)", r"from 0 to 1e9, not a function"),
    (HEADER + "tf.on_packet('tcp.port == 80', print)", r"rules\.lua:2: bad expression(.|\n)*\n\texpressions are tcpdump's, not Wireshark's"),
    (HEADER + "tf.on_packet('tcp port == 80', print)", r"\n\texpressions are tcpdump's, not Wireshark's"),
    # what Lua cannot read
    (HEADER + "tf.on_packet(function(pkt)\n   tf.drop  -- always\nend)", r"rules\.lua:4: .*\n\tin line 3 a verdict stands alone: return tf\.drop"),
    (HEADER + "tf.on_packet(function(pkt)\n   if pkt.tcp then return tf.drop\nend)", r"rules\.lua:4: .*\n\tis an 'end' missing above"),
    (HEADER + "if tf.args.x = 5 then return end", r"rules\.lua:2: .*\n\t'=' assigns; '==' compares"),
    (HEADER + "if tf.args.x != 5 then return end", r"rules\.lua:2: .*\n\tLua writes '~='"),
    (HEADER + "if tf.args.x && tf.args.y then return end", r"rules\.lua:2: .*\n\tLua writes 'and'"),
    (HEADER + "local n = 0\nn += 1", r"rules\.lua:3: .*\n\tLua has no '\+='"),
])
def test_a_mistake_that_beginners_make(place, text, message):
    one_message(harness.run(place, "check", place.script(text + "\n", "rules.lua")), SCRIPT, message)


@pytest.mark.parametrize("text, message", [
    ("if pkt.tcp.dport == 80 then return tf.drop end", r"index field 'tcp' .*\n.*\n\tthis packet has no such header(.|\n)*a UDP packet"),
    ("local ip4 = pkt.ip4\nreturn ip4.ttl > 5 and tf.drop or nil", r"index local 'ip4' .*\n.*\n\tthis packet has no such header(.|\n)*over IPv6"),
    ("if pkt.lenght > 5 then return tf.drop end", r"no member 'lenght': did you mean 'len'\?"),
    ("if pkt.tcp then pkt.tcp.dport = '8080' end", r'tcp\.dport: expected a number, got the string "8080": tonumber'),
    ("pkt.len = 10", r"pkt\.len cannot be set"),
    ("return 'drop'", r'returned the string "drop"; it may return nothing, tf\.forward'),
    ("return tf.accept", r"tf has no member 'accept': did you mean 'forward'\?"),
    ("pkt:drop()", r"no member 'drop': return tf\.drop"),
    ("pkt:reject()", r"reject is a verdict, to be returned: return pkt:reject"),
    ("pkt:hold(0.1)", r"hold is a verdict, to be returned: return pkt:hold"),
    ("while true do end", r"did not come back within 1000 ms"),
])
def test_a_mistake_shows_when_check_shows_the_script_packets(place, text, message):
    rules = place.script(HEADER + "tf.on_packet(function(pkt)\n%s\nend)\n" % text, "rules.lua")
    done = harness.run(place, "check", rules)
    one_message(done, SCRIPT, r"rules\.lua:[234]", message)
    assert done.stdout == "callback  %s:2: every packet\n" % rules, done.stdout


def test_check_shows_frames_if_the_devices_carry_them_and_tries_nothing_out_that_may_do_anything(place):
    rules = place.script(HEADER + "tf.on_packet(function(pkt) return pkt.eth.src == 5 and tf.drop or nil end)\n")
    assert harness.run(place, "check", rules).returncode == SCRIPT
    assert harness.run(place, "check", rules, "--left", "tap", "--right", "tap").returncode == 0
    assert harness.run(place, "check", rules, "--unsafe").returncode == 0


def test_what_a_script_prints_does_not_show_as_it_is_tried(place):
    done = harness.run(place, "check", place.script(HEADER + "print 'loaded'\ntf.on_packet(function(pkt) tf.log('seen ' .. pkt) end)\n"))
    assert done.returncode == 0 and done.stderr.count("loaded") == 1 and "seen" not in done.stderr + done.stdout, done.stderr


class TestStart:
    """What shows once the devices are open."""

    @pytest.mark.parametrize("expression, reason", [("icmpp", "icmpp"), ("tcp port", "tcp port"), ("host 1.2.3.4.5.6", "1.2.3.4.5.6")])
    @pytest.mark.parametrize("command", ["check", "lab"])
    def test_an_expression_that_is_none(self, place, command, expression, reason):
        script = place.script(HEADER + 'tf.on_packet("%s", function() end)\n' % expression, "expression.lua")
        done = harness.run(place, command, script, *(["--", "echo", "ran"] if command == "lab" else []))
        one_message(done, SCRIPT, r"expression\.lua:2:", re.escape(reason))
        lines = done.stderr.splitlines()
        shown = next(number for number, line in enumerate(lines) if line.strip() == expression)
        assert re.fullmatch(r"\s*\^~*", lines[shown + 1])
        assert lines[shown + 1].index("^") >= lines[shown].index(expression)
        assert "ran" not in done.stdout

    @pytest.mark.parametrize("command", ["check", "lab"])
    def test_a_script_that_fails_as_it_loads(self, place, command):
        script = place.script(HEADER + "local function f() error 'on purpose' end\nf()\n", "fails.lua")
        done = harness.run(place, command, script, *(["--", "echo", "ran"] if command == "lab" else []))
        one_message(done, SCRIPT, r"fails\.lua:2: on purpose", r"fails\.lua:3: in main chunk")
        assert "ran" not in done.stdout

    def test_an_on_start_that_fails(self, place):
        script = place.script(HEADER + "tf.on_start(function() error 'on purpose' end)\n", "fails.lua")
        done = harness.run(place, "lab", script, "--", "echo", "ran")
        assert done.returncode == SCRIPT and "fails.lua:2: on purpose" in done.stderr
        assert "ran" not in done.stdout


@pytest.mark.parametrize("options, patterns", [
    (["--frobnicate"], ["--frobnicate", "--help"]),
    (["--stat", "1"], ["--stat", "did you mean --stats"]),
    (["--stats", "often"], ["--stats", "often", "seconds"]),
    (["--on-error", "maybe"], ["drop or forward", "maybe"]),
    (["--set", "novalue"], ["KEY=VALUE", "novalue"]),
    (["--left"], ["--left needs a value"]),
    (["--left", "wormhole"], ["--left", "wormhole", "tun, tap, memory"]),
    (["--right", "tun,mtu=12"], ["--right", "mtu=12", "68 to 65535"]),
    (["--right", "tun,speed=12"], ["speed=12", "mtu=, address=, netns=, queue="]),
    (["--left", "tun,address=10.0.0.300/24"], ["10.0.0.300"]),
    (["--left", "tun:a-name-that-is-too-long"], ["a-name-that-is-too-long", "15"]),
    (["--left", "tap", "--right", "tun"], ["tun", "tap", "same kind"]),
    (["-v", "-q"], ["exclude each other"]),
    (["another.lua"], ["another.lua", "too many"]),
])
def test_the_command_line(place, options, patterns):
    script = place.script(harness.PASS)
    done = harness.run(place, "run", script, *options, prefix=harness.IN_NAMESPACE)
    one_message(done, USAGE, *map(re.escape, patterns))


def test_no_script_at_all(place):
    one_message(harness.run(place), USAGE, "no script")
    one_message(harness.run(place, "lap", "x.lua"), USAGE, "lap", "did you mean lab")


class TestDevices:
    def test_no_rights(self, place):
        done = harness.run(place, "run", place.script(harness.PASS))
        one_message(done, SYSTEM, "left device", r"sudo|root|CAP_NET_ADMIN", "lab")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device node")
    def test_a_node_that_only_root_may_open(self, place):
        def closed(argv):
            return [word.replace("-m 666", "-m 600") for word in argv]

        argv = closed(harness.ordinary_user([*harness.IN_NAMESPACE, place.program, "run", place.script(harness.PASS)]))
        done = subprocess.run(argv, capture_output=True, text=True, env=place.environment(), check=False)
        one_message(done, SYSTEM, "/dev/net/tun", "chmod|udev|0666")

    def test_a_device_in_use(self, place):
        script = place.script(harness.PASS)
        first = [place.program, "run", script, "--left", "tun:tfbusy"]
        second = [place.program, "run", script, "--right", "tun:tfbusy"]
        wait = "until ip link show tfbusy >/dev/null 2>&1; do sleep 0.05; done"
        words = shlex.join(map(str, second))
        shell = "%s -q & first=$!; %s; sleep 0.3; %s; status=$?; kill $first; wait $first; exit $status" % (
            shlex.join(map(str, first)), wait, words)
        argv = harness.ordinary_user([*harness.IN_NAMESPACE, "sh", "-c", shell])
        done = subprocess.run(argv, capture_output=True, text=True, env=place.environment(), check=False,
                                      timeout=harness.DEADLINE)
        one_message(done, SYSTEM, "right device", "another program holds", "tfbusy")

    def test_a_namespace_that_is_not_there(self, place):
        done = harness.run(place, "run", place.script(harness.PASS), "--left", "tun,netns=tf-nowhere",
                           prefix=harness.IN_NAMESPACE)
        one_message(done, SYSTEM, "left device", "tf-nowhere")

    def test_two_local_devices_are_warned_of(self, place):
        with harness.Program(place, *harness.IN_NAMESPACE, place.program, "run", place.script(harness.PASS),
                             "--left", "tun,address=10.1.0.1/24", "--right", "tun,address=10.2.0.1/24") as program:
            program.wait_for("warning: .*one namespace")
            there = "tun,netns=%d,address=10.%%d.0.1/24" % program.process.pid
            with harness.Program(place, place.program, "run", place.script(harness.PASS),
                                 "--left", there % 3, "--right", there % 4, user=False) as other:
                other.wait_for("warning: .*one namespace")
        with harness.Run(place, harness.PASS) as program:
            program.wait_for("callback")
        assert "warning" not in program.stderr


def datagram(number):
    return bytes(IP(src="198.51.100.1", dst="203.0.113.1", id=number) / UDP(sport=9, dport=9) / Raw(b"%d" % number))


def errors_of(stderr):
    return re.findall(r"^tunfilter: error: .*$", stderr, re.M)


EVERY_THIRD = HEADER + """
local n = 0
tf.on_packet{ name = "thrower", function(pkt)
   n = n + 1
   if n % 3 == 0 then error("third again") end
end }
"""


@pytest.mark.parametrize("policy", ["drop", "forward"])
def test_a_callback_that_throws_on_every_third_packet(place, lab, policy):
    sent = [datagram(number) for number in range(300)]
    kept = [packet for number, packet in enumerate(sent) if policy == "forward" or number % 3 != 2]
    script = place.script(EVERY_THIRD, "third.lua")
    with lab(script, "--on-error", policy) as running:
        for start in range(0, len(sent), 30):
            for packet in sent[start : start + 30]:
                running.left.send(packet)
        assert running.right.receive(len(kept)) == kept
        assert running.right.nothing()
    assert running.status == 0
    table = running.table()
    assert table["in"] == [300, 0] and table["errors"] == [100, 0]
    assert table["forwarded"] == [200, 0] and table["dropped"] == [0, 0]
    assert table["callback-errors"] == 100
    assert len(errors_of(running.stderr)) == 1, running.stderr
    assert running.stderr.count("third.lua:6: third again") >= 1
    assert running.stderr.count("in function") == 1, running.stderr  # one traceback
    assert "198.51.100.1" in running.stderr  # with the packet under it
    more = [int(count) for count in re.findall(r"warning: (\d+) more error", running.stderr)]
    assert sum(more) == 99


@pytest.mark.parametrize("body, patterns", [
    ("return 42", [r"returned 42", r"tf\.forward, tf\.drop.*tf\.reply"]),
    ("return pkt:u8(9999)", [r"error: \S*mistake\.lua:\d+: u8: offset 9999"]),  # a tail call, which has no line
    ("return true", [r"returned true"]),
    ('return "drop"', [r'returned the string "drop"', r"tf\.drop"]),
    ("local x = drop; return x", [r"there is no global 'drop': tf\.drop is meant"]),
    ("local x = pkt:u8(9999)", [r"9999", r"\b29\b"]),
    ("pkt:set_u32(26, 1)", [r"26", r"\b29\b"]),
    ("local x = pkt:u16(-1)", [r"-1"]),
    ("local x = pkt.paylaod", [r"paylaod", r"did you mean 'payload'"]),
    ("pkt.ip.ttl = 256", [r"ttl", r"256", r"255"]),
    ("pkt.ip.dst = 'nowhere'", [r"nowhere"]),
    ("pkt.tcp.dport = 1", [r"tcp"]),
    ("local x = old and old.len; old = pkt", [r"is gone"]),
])
def test_a_mistake_in_a_callback(place, lab, body, patterns):
    script = place.script(HEADER + "local old\ntf.on_packet(function(pkt)\n   %s\nend)\n" % body, "mistake.lua")
    with lab(script) as running:
        for number in (1, 2):
            running.left.send(datagram(number))
        assert running.right.receive(2, 0.5) == ([datagram(1)] if "gone" in patterns[0] else [])
    assert running.status == 0  # the run goes on, and the command's status is the lab's
    errors = errors_of(running.stderr)
    assert len(errors) == 1, running.stderr
    where = 3 if body.startswith("return") else 4  # of a wrong verdict only the callback is known
    assert "mistake.lua:%d" % where in running.stderr, running.stderr
    for pattern in patterns:
        assert re.search(pattern, errors[0]), (pattern, errors[0])
    table = running.table()
    assert table["in"] == [2, 0] and table["errors"] == [1 if "gone" in patterns[0] else 2, 0]


def test_a_timer_that_throws_does_not_stop_the_run(lab):
    rules = """
local n = 0
tf.every(0.01, function()
   n = n + 1
   if n == 5 then tf.log "the fifth" end
   error "tick"
end)
"""
    with lab(HEADER + rules) as running:
        running.wait_for("the fifth")
        assert wire.move([datagram(1)], running.left, running.right) == [datagram(1)]
    assert running.status == 0
    assert len(errors_of(running.stderr)) == 1
    assert running.table()["callback-errors"] >= 5


def test_the_labs_status_is_the_commands(place):
    script = place.script(harness.PASS)
    for status in (0, 1, 7):
        done = harness.run(place, "lab", "-q", script, "--", "sh", "-c", "exit %d" % status)
        assert done.returncode == status, done.stderr
    done = harness.run(place, "lab", "-q", script, "--", "no-such-command-here")
    assert done.returncode == 127 and "no-such-command-here" in done.stderr


@pytest.mark.parametrize("callback", ["netem{}", 'stream.replace{ "a", "b", from = tf.left }', "print"])
def test_a_callback_that_the_script_has_not_written_has_the_line_of_its_registration(place, callback):
    script = place.script(HEADER + 'local netem, stream = require "tunfilter.netem", require "tunfilter.stream"\n\n'
                          f"tf.on_packet({callback})\n", "rules.lua")
    done = harness.run(place, "check", script)
    assert re.search(r"^callback  \S*rules\.lua:4: every packet$", done.stdout, re.M), done.stdout


def test_two_hosts_with_one_address_are_warned_of(place):
    script = place.script(harness.PASS)
    for words in (["--right", "tun,address=10.77.0.1/24"], ["--left", "tun,address=10.9.0.1/24", "--right", "tun,address=10.9.0.1/24"]):
        done = harness.run(place, "lab", script, *words, "--", "true")
        assert done.returncode == 0 and done.stderr.count("warning: left and right both have the address 10.") == 1, done.stderr
    done = harness.run(place, "lab", script, "--", "true")
    assert "warning" not in done.stderr


@pytest.mark.parametrize(["words", "text", "status", "message"], [
    (["check"], "\n\r\r\n\x1c\0\0\0", 1, "rules.lua: it is a capture, not a script; the script comes first\n"),
    (["check"], HEADER + "tf.on_packet('host right', function() end)\n", 1,
     "unknown host 'right' (of those in /etc/hosts, and of left and right in a lab; only --unsafe asks name servers)\n"),
    (["lab", "--", "ping -c 1 right"], "", 127, "left: cannot run ping -c 1 right: not found; without quotes it is a command"),
    (["lab", "--", "true"], "", 1, "rules: No such file or directory (did you mean rules.lua?)\n"),
])
def test_what_to_do_instead(place, words, text, status, message):
    place.script(text, "rules.lua")
    done = harness.run(place, words[0], "rules" if words[-1] == "true" else "rules.lua", "-q", *words[1:])
    assert done.returncode == status and message in done.stderr, done.stderr


def test_an_error_in_a_timer_says_so(place):
    place.script(HEADER + "tf.after(0, function() error 'late' end)\n", "rules.lua")
    captures.write(place.path / "in.pcap", [datagram(1)])
    done = harness.run(place, "replay", "rules.lua", "in.pcap", "-q")
    assert re.search(r"error: rules\.lua:2: late\n(\t.*\n)?\tin a timer's function\n", done.stderr), done.stderr
