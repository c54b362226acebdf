"""`tunfilter test`: what passes, what fails, and how both are told; read by prove and by an XML parser."""

import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest
from scapy.all import IP, TCP, UDP, Raw

import harness

RULES = """
local tf = require "tunfilter"
local served = tonumber(tf.args.served or 8080)
tf.on_start(function() tf.log("serving at", served) end)
tf.on_packet("tcp", function(pkt)
   if pkt.tcp and pkt.tcp.dport == 80 then pkt.tcp.dport = served end
end)
tf.on_packet("udp", function(pkt)
   if pkt.payload == "boom" then error "on purpose" end
   if pkt.payload == "later" then tf.after(1.5, function() tf.send(tf.left, "\\x45" .. ("x"):rep(19)) end) end
   if pkt.payload == "hold" then return pkt:hold(0.25) end
   return tf.reply
end)
tf.on_stop(function() tf.send(tf.right, "\\x45" .. ("z"):rep(19)) end)
"""


def lua(packet):
    return '"' + "".join("\\x%02x" % byte for byte in bytes(packet)) + '"'


def udp(payload):
    return IP(src="10.77.0.1", dst="10.77.0.2") / UDP(sport=1000, dport=2000) / Raw(payload)


TO_80 = IP(src="10.77.0.1", dst="10.77.0.2") / TCP(sport=1234, dport=80) / Raw("hello")
TO_8080 = IP(src="10.77.0.1", dst="10.77.0.2") / TCP(sport=1234, dport=8080) / Raw("hello")
HEADER = """local tf = require "tunfilter"
local t = require "tunfilter.test"
local to_80, to_8080, boom, later, hold, other = %s
""" % ", ".join(map(lua, (TO_80, TO_8080, udp("boom"), udp("later"), udp("hold"), udp("other"))))


def scenario(body, title="it works", options="{}"):
    return "t.scenario(%s, %s, function()\n%s\nend)\n" % (
        '"' + "".join("\\%d" % byte if byte < 32 or byte in b'"\\' else "\\%d" % byte if byte > 126 else chr(byte)
                      for byte in title.encode("latin-1")) + '"', options, body)


@pytest.fixture
def run(place):
    """run(text of a file of scenarios, *options): how the program ended."""

    def run(text, *options, rules=RULES):
        return harness.run(place, "test", place.script(rules, "the_rules.lua"), place.script(HEADER + text, "the_tests.lua"),
                           *options)

    return run


def results(done):
    """[(passed, title)], as the TAP says; that the plan is kept is checked."""
    lines = done.stdout.split("\n")
    assert lines[0] == "TAP version 13", done.stdout
    count = int(re.fullmatch(r"1\.\.(\d+)", lines[1])[1])
    found = [re.fullmatch(r"(not )?ok (\d+) - (.*)", line) for line in lines[2:] if not line.startswith("#") and line]
    assert all(found), done.stdout
    assert [int(match[2]) for match in found] == list(range(1, count + 1))
    return [(not match[1], match[3]) for match in found]


PASSING = {
    "same": "t.send(tf.right, to_8080) t.expect_same(tf.left)",
    "bytes": "t.send(tf.left, to_80) t.expect(tf.right, to_8080)",
    "a packet": "t.send(tf.left, tf.packet(to_80)) t.expect(tf.right, tf.packet(to_8080))",
    "a table": 't.send(tf.left, { ip = { src = "10.77.0.1", dst = "10.77.0.2" }, tcp = { dport = 80 } }) '
               "t.expect(tf.right, { tcp = { dport = 8080 } })",
    "fields": 't.send(tf.left, to_80) t.expect(tf.right, { ip = { src = "10.77.0.1", ttl = 64 }, ip6 = false, udp = false, '
              'ip4 = true, tcp = { dport = 8080, flags = { syn = true, ack = false }, flags = "S", options = { mss = false } }, '
              'payload = "hello", len = 45, malformed = false })',
    "a field by function": "t.send(tf.left, to_80) "
                           "t.expect(tf.right, { tcp = { dport = function(p) return p > 8000 end } })",
    "a function": 't.send(tf.left, to_80) t.expect(tf.right, function(pkt) return pkt.payload == "hello" end)',
    "nothing": "t.expect_nothing() t.expect_nothing(tf.left)",
    "a reply": "t.send(tf.left, other) t.expect_same(tf.left) t.expect_nothing(tf.right)",
    "time": "t.advance(2) t.send(tf.left, later) local at = t.expect_same(tf.left).time assert(at == 2, at) "
            "t.advance(1) t.expect_nothing() t.advance(1) "
            "assert(t.expect(tf.left, { len = 20 }).time == 3.5) assert(tf.now() == 4)",
    "hold": "t.advance(1) t.send(tf.left, hold) t.advance(0.2) t.expect_nothing() t.advance(0.1) "
            "assert(math.abs(t.expect(tf.right, hold).time - 1.25) < 1e-6)",
    "ignored": "t.send(tf.left, other) t.ignore()",
    "ignored side": "t.send(tf.left, other) t.ignore(tf.left)",
    "taken": "t.send(tf.left, other) assert(t.take(tf.left).len == #other) assert(t.take(tf.left) == nil)",
    "error": 't.send(tf.left, boom) assert(t.expect_error("on purpose"):find "the_rules.lua:")',
    "log": 't.expect_log "serving at\\t8080"',
    "stop": "t.stop() t.expect(tf.right, { len = 20 })",
    "several": "for i = 1, 200 do t.send(tf.left, to_80) end for i = 1, 200 do t.expect(tf.right, to_8080) end",
}


@pytest.mark.parametrize("name", PASSING)
def test_passes(run, name):
    done = run(scenario(PASSING[name], name))
    assert (done.returncode, results(done), done.stderr) == (0, [(True, name)], ""), done.stdout + done.stderr


FAILING = {
    "t.send(tf.left, to_80) t.expect_same(tf.right)": [r"\* tcp\.dport +80 +8080", r"  tcp\.sport +1234 +1234",
                                                       r"\* tcp\.checksum"],
    "t.send(tf.left, to_80) t.expect(tf.right, { tcp = { dport = 80, sport = 1234 } })":
        [r"\* tcp\.dport +80 +8080", r"  tcp\.sport +1234 +1234"],
    "t.send(tf.left, to_80) t.expect(tf.right, { tcp = false })": [r"\* tcp +none +a header"],
    "t.send(tf.left, to_80) t.expect(tf.right, { udp = { dport = 1 } })": [r"\* udp +a header +none"],
    "t.send(tf.left, to_80) t.expect(tf.right, function() return false, 'no luck' end)": ["false: no luck"],
    "t.send(tf.left, to_80) t.expect(tf.left, to_80)": ["nothing came out of left", r"came out of right next.*\.8080"],
    "t.send(tf.left, to_80) t.expect_nothing(tf.left) t.expect_nothing()": [r"expected nothing from right.*\.8080"],
    "t.send(tf.left, to_80)": ["came out of right and nobody expected it", "0000  45 00"],
    "t.send(tf.left, boom)": ["nobody expected it", "the_rules.lua:9: on purpose"],
    "t.expect_error()": ["no callback failed"],
    "t.send(tf.left, boom) t.expect_error 'other'": ['expected an error with "other"', "on purpose"],
    "t.expect_log 'not said'": ['did not log "not said"', "the script logged: serving at"],
    "pcall(t.expect, tf.left, to_80)": ["nothing came out of left"],
    "t.send('up', to_80)": ['t.send: the side is tf.left or tf.right, not "up"'],
    "t.expect(5, to_80)": ["t.expect: the side is tf.left or tf.right, not 5"],
    "t.expect(tf.left, { tcp = { port = 80 } })": ["tcp has no member 'port'"],
    "t.expect(tf.left, { ip = { id = 80 } })": ["ip has no member 'id': it is ip4's"],
    "t.expect(tf.left, { tpc = {} })": ["no member 'tpc': did you mean 'tcp'"],
    "t.expect(tf.left, 5)": ["not a number"],
    "t.send(tf.left, 5)": ["not a number"],
    "t.exspect(tf.left)": ["no member 'exspect': did you mean 'expect'"],
    "t.advance(-1)": ["from 0 to 1000000"],
    "t.expect_same(tf.left)": ["nothing was sent"],
    "t.stop() t.send(tf.left, to_80)": ["has stopped"],
    "tf.send(tf.left, to_80)": ["what a scenario has is t.send"],
    "local x = nil; x.y = 1": ["attempt to index"],
    "error {}": ["table"],
    "t.scenario('x', function() end)": ["not inside"],
}


@pytest.mark.parametrize("body", FAILING)
def test_fails(run, body):
    done = run(scenario(body))
    assert (done.returncode, results(done)) == (1, [(False, "it works")]), done.stdout + done.stderr
    for pattern in FAILING[body]:
        if pattern not in done.stdout:
            assert re.search(pattern, done.stdout), "no %r in\n%s" % (pattern, done.stdout)
    if body != "error {}":  # the line of the expectation, or of the scenario for what shows at its end
        assert re.search(r"^# (the script does not load: )?\S*the_tests\.lua:[45]: ", done.stdout, re.M), done.stdout


def test_differing_bytes_are_marked(run):
    done = run(scenario("t.send(tf.left, to_80) t.expect(tf.right, to_80)"))
    lines = done.stdout.split("\n")
    marked = set()
    for i, line in enumerate(lines):
        if "^^" not in line:
            continue
        at = int(lines[i - 1].split()[2], 16)
        start = lines[i - 1].index("%04x" % at) + 6
        marked |= {at + (match.start() - start) // 3 for match in re.finditer(r"\^\^", line)}
    sent, came = bytes(TO_80), bytes(TO_8080)
    assert marked == {i for i in range(len(sent)) if sent[i] != came[i]}


WRONG_FILES = {
    "t.scenario(": "the_tests.lua:4: .*near '<eof>'",
    "\nerror 'broken'": "the_tests.lua:5: broken",
    "t.scenario('x')": "the_tests.lua:4: ",
    "t.scenario('x', { seeds = 1 }, function() end)": "the_tests.lua:4: .*did you mean 'seed'",
    "t.scenario('x', { link = 'tun' }, function() end)": 'the_tests.lua:4: .*"ip" or "ethernet"',
    "t.scenario('', function() end)": "the_tests.lua:4: ",
    "t.send(tf.left, to_80)": "the_tests.lua:4: .*only while a scenario runs",
    "t.expect_nothing()": "the_tests.lua:4: .*only while a scenario runs",
    "t.ignore()": "the_tests.lua:4: .*only while a scenario runs",
    "t.take(tf.left)": "the_tests.lua:4: .*only while a scenario runs",
    "tf.on_packet(print)": "the_tests.lua:4: .*tf.on_packet is for the script",
    "": "the_tests.lua: there is no scenario",
}


@pytest.mark.parametrize("text", WRONG_FILES)
def test_wrong_file(run, text):
    done = run(text)
    assert done.returncode == 1
    assert re.search(WRONG_FILES[text], done.stderr), done.stderr
    assert len(done.stderr.split("tunfilter: error: ")) == 2, done.stderr
    assert [passed for passed, _ in results(done)] == [False]


def test_a_wrong_file_does_not_stop_others(place):
    wrong = place.script("x x", "wrong.lua")
    right = place.script(HEADER + scenario("t.expect_nothing()"), "right.lua")
    done = harness.run(place, "test", place.script(RULES), wrong, right)
    assert done.returncode == 1 and [passed for passed, _ in results(done)] == [False, True]


def test_rules_that_do_not_load(run):
    text = scenario("t.expect_nothing()") + scenario("", "and then").replace(", function()\n\nend", "").replace(
        "{}", "{ load_error = 'on load' }")
    done = run(text, rules="error 'on load'")
    assert done.returncode == 1 and results(done) == [(False, "it works"), (True, "and then")]
    assert "the_rules.lua:1: on load" in done.stdout
    done = run(text, rules="x x")
    assert done.returncode == 1 and "the_rules.lua:1: " in done.stderr
    assert not any(passed for passed, _ in results(done))
    done = run(text)
    assert results(done) == [(True, "it works"), (False, "and then")], done.stdout


def test_command_line(place):
    script = place.script(RULES)
    for words, status in ([(script,), 2], [(script, script, "--junit"), 2], [(script, script, "--capture", "x"), 2]):
        assert harness.run(place, "test", *words).returncode == status
    done = harness.run(place, "test", script, "nowhere.lua")
    assert done.returncode == 1 and "nowhere.lua: No such file" in done.stderr
    done = harness.run(place, "test", script, place.script(HEADER + scenario("")), "--junit", "/nowhere/x.xml")
    assert done.returncode == 3 and "/nowhere/x.xml" in done.stderr


def test_options(run):
    text = scenario("t.expect_log '\\t1'", "set") + scenario("t.expect_log '\\t2'", "own", "{ set = { served = 2 } }")
    assert results(run(text, "--set", "served=1")) == [(True, "set"), (True, "own")]
    text = scenario("t.send(tf.left, boom) t.expect_error() t.expect_nothing()", "dropped", "{ on_error = 'drop' }")
    text += scenario("t.send(tf.left, boom) t.expect_error() t.expect_same(tf.right)", "forwarded")
    assert results(run(text, "--on-error", "forward")) == [(True, "dropped"), (True, "forwarded")]
    frame = "local frame = ('\\x02'):rep(12) .. '\\x08\\x00' .. to_80\nt.send(tf.left, frame)\n"
    text = scenario(frame + "t.expect(tf.right, { eth = { type = 0x800 }, tcp = { dport = 8080 } })", "named", "{ link = 'ethernet' }")
    text += scenario(frame + "t.expect(tf.right, { eth = true, tcp = { dport = 8080 } })", "tap")
    text += scenario("t.send(tf.left, to_80) t.expect(tf.right, { eth = false })", "ip", "{ link = 'ip' }")
    assert results(run(text, "--left", "tap", "--right", "tap")) == [(True, "named"), (True, "tap"), (True, "ip")]


def test_same_seed_same_run(run):
    rules = 'local tf = require "tunfilter"\ntf.on_start(function() tf.log(tf.random()) end)'
    text = scenario("error(t.expect_log '0.', 0)", "first") + scenario("error(t.expect_log '0.', 0)", "second")
    text += scenario("error(t.expect_log '0.', 0)", "third", "{ seed = 8 }")

    def numbers(*options):
        done = run(text, *options, rules=rules)
        return re.findall(r"^# (0\.\d+)", done.stdout, re.M)

    first, second, third = numbers("--seed", "7")
    assert first == second != third
    assert numbers("--seed", "7") == [first, second, third]
    assert numbers("--seed", "8") == [third, third, third]
    assert numbers() == numbers()


def test_isolation(run):
    counting = "n = (n or 0) + 1 assert(n == 1) t.send(tf.left, to_80) t.expect(tf.right, { tcp = { dport = 8080 } })"
    rules = RULES + "\nlocal n = 0\ntf.on_packet(function() n = n + 1 if n > 1 then return tf.drop end end)\n"
    text = "n = 0\nn = nil\n" + scenario(counting, "one") + scenario(counting, "two")
    assert results(run(text, rules=rules)) == [(True, "one"), (True, "two")]


def test_only(run):
    text = scenario("", "ports") + scenario("", "ports and more") + scenario("", "other [x]")
    assert results(run(text, "--only", "ports")) == [(True, "ports")]
    assert results(run(text, "--only", "more")) == [(True, "ports and more")]
    assert results(run(text, "--only", "r [")) == [(True, "other [x]")]
    done = run(text, "--only", "missing")
    assert done.returncode == 1 and "missing" in done.stderr and [passed for passed, _ in results(done)] == [False]


def test_hide(run, place):
    secret = "SECRET"
    rules = RULES + """
tf.log(tf.args.secret or "") io.write(tf.args.secret or "")
tf.on_packet(function(pkt) print(pkt.payload) io.write(pkt.payload, "\\nok 1 - the title\\n") error(pkt.payload) end)
if tf.args.secret then error(tf.args.secret) end
"""
    send = "t.send(tf.left, (to_80:gsub('hello', '%s')))" % secret
    text = scenario(send + " t.expect(tf.right, to_80)", "the title")
    text += scenario(send + " print '%s' error '%s'" % (secret, secret), "another")
    text += scenario("", "a third", "{ set = { secret = '%s' } }" % secret)
    shown = run(text, "-v", rules=rules)
    assert secret in shown.stdout and secret in shown.stderr
    done = run(text, "--hide", "-v", "--junit", "hidden.xml", rules=rules)
    junit = (place.path / "hidden.xml").read_text()
    assert done.returncode == 1 and results(done) == [(False, "the title"), (False, "another"), (False, "a third")]
    assert done.stdout.split("\n")[2:5] == ["not ok 1 - the title", "not ok 2 - another", "not ok 3 - a third"]
    assert done.stderr == "" and secret not in done.stdout + junit and "line=" not in junit
    assert secret not in run("error '%s'" % secret, "--hide").stdout
    wrong = run("local %s = = 1" % secret, "--hide")
    assert wrong.returncode == 1 and secret not in wrong.stdout + wrong.stderr


def test_scripts_cannot_write_results(run):
    done = run(scenario("t.send(tf.left, to_80) t.ignore()"),
               rules=RULES + "io.write 'ok 7 - forged\\n'\ntf.on_packet(function() io.write 'ok 8 - forged\\n' end)\n")
    assert results(done) == [(True, "it works")]
    assert "ok 7 - forged\n" in done.stderr and "ok 8 - forged\n" in done.stderr


def test_only_scenario_files_have_the_module(place):
    done = harness.run(place, "check", place.script('\nlocal t = require "tunfilter.test"\n', "no_test.lua"))
    assert done.returncode == 1 and "no_test.lua:2: " in done.stderr and "tunfilter test" in done.stderr
    done = harness.run(place, "test", place.script('require "tunfilter.test"\n', "no_test.lua"),
                       place.script(HEADER + scenario("")))
    assert done.returncode == 1 and "no_test.lua:1: " in done.stdout


# What a title may hold: marks of TAP and XML, control characters, bytes that are no UTF-8.
TITLES = ["plain", "a # SKIP b", "# TODO", "back\\slash # x", "<a> & \"b\" 'c' ]]>", "x\ny", "\x01\x1b[31m", "\xff\xc3(\xa0",
          "\xed\xa0\x80", "caf\xc3\xa9", "not ok 1 - x", "1..5",
          "\xef\xbf\xbe", "\xf0\x80\x80\x80"]


def test_titles(run, place):
    text = "".join(scenario("" if i % 2 else "error(%s)" % lua(title.encode("latin-1")), title) for i, title in enumerate(TITLES))
    done = run(text, "--junit", "titles.xml")
    assert [passed for passed, _ in results(done)] == [i % 2 == 1 for i in range(len(TITLES))]
    root = ElementTree.parse(place.path / "titles.xml").getroot()
    cases = list(root.iter("testcase"))
    assert [case.find("failure") is None for case in cases] == [i % 2 == 1 for i in range(len(TITLES))]
    for i in (0, 1, 2, 3, 4, 5, 10, 11):
        assert cases[i].get("name") == TITLES[i]
    assert cases[9].get("name") == "café"
    assert (root.get("tests"), root.get("failures")) == (str(len(TITLES)), str(len(TITLES) // 2))
    assert root.find("testsuite").get("name").endswith("the_tests.lua")


@pytest.mark.skipif(shutil.which("prove") is None, reason="no prove")
def test_prove(run, place):
    passing, failing = place.path / "passing.lua", place.path / "failing.lua"
    run("")  # the rules
    passing.write_text(HEADER + "".join(scenario("", title) for title in TITLES))
    failing.write_text(HEADER + scenario("") + scenario("error 'ok 3 - forged'", "no # SKIP"))
    prove = ["prove", "--exec", "%s test %s" % (place.program, place.path / "the_rules.lua")]
    done = subprocess.run([*prove, passing], capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0 and "Tests=%d," % len(TITLES) in done.stdout, done.stdout + done.stderr
    assert "skipped" not in done.stdout and "TODO" not in done.stdout
    done = subprocess.run([*prove, failing], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Failed 1/2 subtests" in done.stdout, done.stdout
