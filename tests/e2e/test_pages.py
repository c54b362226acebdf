"""Every example on every page runs: Lua blocks with packets passing through them, and commands as they stand.

Pages are the Markdown files of the tree, the manual page and --help; and the contract of the script
interface, where it lies beside the tree.
"""

import re
import shlex
import shutil
import subprocess
import time

import pytest
from scapy.all import PcapWriter

import harness
import packets

CONTRACT = harness.ROOT.parent / "shared/API.md"

# Commands that are not run here: a part of the text, and why.
NOT_HERE = {
    "tunfilter enter": "needs a lab in another terminal; test_lab.py",
    "cmake --install": "would install on this machine",
    "scripts/test": "is what runs this test",
    "scripts/demo": "installs packages; it has a test of its own",
    "scripts/packages": "installs packages",
    "utun": "macOS alone has it; test_kinds.py has the rest",
}


def pages():
    found = [path for path in harness.ROOT.rglob("*.md")
             if not any(part.startswith((".", "build")) for part in path.relative_to(harness.ROOT).parts)]
    return sorted(found) + ([CONTRACT] if CONTRACT.exists() else [])


def blocks(path):
    """(line number, language or "indented", text) of each code block of a page."""
    found, fence, start = [], None, 0
    body = []
    for number, line in enumerate([*path.read_text().split("\n"), ""], 1):
        mark = re.match(r"```(\w*)", line)
        if fence is not None:
            if mark:
                found.append((start, fence, "\n".join(body) + "\n"))
                fence, body = None, []
            else:
                body.append(line)
        elif mark:
            fence, start, body = mark[1], number, []
        elif line.startswith("    "):
            start = start if body else number
            body.append(line[4:])
        elif body:
            found.append((start, "indented", "\n".join(body) + "\n"))
            body = []
    return found


def name_of(path, line):
    return "%s:%d" % (path.name if path == CONTRACT else path.relative_to(harness.ROOT), line)


def lua_examples():
    for path in pages():
        for line, language, text in blocks(path):
            if language == "lua":
                yield pytest.param(text, path == CONTRACT, id=name_of(path, line))


def commands_in(text):
    """The commands in a text of lines, those that start with the program's name; a \\ joins lines."""
    for line in re.sub(r" *\\\n *", " ", text).split("\n"):
        synopsis = re.search(r"[][|]|RULES|  ", line)
        if re.match(r"(sudo )?(build/)?tunfilter (\S+\.lua|run|lab|replay|check|enter|doctor)\b", line) and not synopsis:
            yield line


def shell_examples():
    for path in pages():
        if path == CONTRACT:
            continue
        for line, language, text in blocks(path):
            if language == "sh":
                yield pytest.param(text, id=name_of(path, line))
            elif language == "indented":
                for command in commands_in(text):
                    yield pytest.param(command, id="%s %s" % (name_of(path, line), command))
    manual = (harness.ROOT / "src/tunfilter.1").read_text()
    for block in re.findall(r"^\.(?:EX|nf)\n(.*?)^\.(?:EE|fi)$", manual, re.M | re.S):
        for command in commands_in(block.replace("\\-", "-").replace("\\e", "\\")):
            yield pytest.param(command, id="tunfilter.1 " + command)
    shown = subprocess.run([harness.PROGRAM, "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    for command in commands_in("\n".join(line.strip() for line in shown.split("\n"))):
        yield pytest.param(command, id="help " + command)


@pytest.fixture(scope="module")
def traffic():
    """Packets that a device takes again, since examples send what they have seen."""
    made = packets.many_ip(packets.generator(7), 240)
    return [packet for packet in made if len(packet) >= (20 if packet[0] >> 4 == 4 else 40)]


@pytest.fixture(scope="module")
def capture(session_place, traffic):
    """The traffic as a capture."""
    path = session_place.path / "traffic.pcap"
    with PcapWriter(str(path), linktype=101) as writer:
        for packet in traffic:
            writer.write(packet)
    return path


# What the pages' examples have beside them.
FILES = {
    "blocklist.txt": "192.0.2.0/24 # documentation\n2001:db8::/32\n",
    "adhosts.txt": "0.0.0.0 ads.example\ntracker.example\n",
}

# Every packet passes a scenario of its own; what comes of it is the script's business.
SCENARIO = """
local tf = require "tunfilter"
local t = require "tunfilter.test"
t.scenario("packets of many kinds", function()
   t.ignore()
   for i, bytes in ipairs(require "bytes") do
      t.send(i % 2 == 0 and tf.left or tf.right, (bytes:gsub("..", function(hex)
         return string.char(tonumber(hex, 16))
      end)))
   end
end)
"""


def no_errors(status, stderr):
    assert status == 0, stderr
    assert not re.search(r"error: |more errors? in", stderr), stderr


def in_replay(place, rules, capture, count):
    done = harness.run(place, "replay", rules, capture)
    no_errors(done.returncode, done.stderr)
    assert sum(harness.tables(done.stderr)[-1]["in"]) == count


def in_a_lab(lab, rules, traffic):
    with lab(rules) as running:
        for start in range(0, len(traffic), 50):
            for number, packet in enumerate(traffic[start : start + 50]):
                (running.left if number % 2 else running.right).send(packet)
            running.left.drain()
            running.right.drain()
        time.sleep(0.1)  # all is read by now, or the sum below says so
    no_errors(running.status, running.stderr)
    assert sum(running.table()["in"]) == len(traffic)


def in_scenarios(place, rules, traffic):
    place.file("bytes.lua", "return { %s }" % ", ".join('"%s"' % packet.hex() for packet in traffic))
    done = harness.run(place, "test", rules, place.script(SCENARIO))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("text, contract", lua_examples())
def test_lua(lab, place, traffic, capture, text, contract):
    """On a capture; what the contract shows also in scenarios and between two hosts."""
    if 'require "tunfilter.test"' in text:  # scenarios; the pages' are about scripts/drop-icmp.lua
        rules = place.script((harness.ROOT / "scripts/drop-icmp.lua").read_text())
        done = harness.run(place, "test", rules, place.script(text))
        assert done.returncode == 0, done.stdout + done.stderr
        return
    if 'require "tunfilter"' not in text:
        text = 'local tf = require "tunfilter"\n' + text
    for name, content in FILES.items():
        place.file(name, content)
    rules = place.script(text)
    in_replay(place, rules, capture, len(traffic))
    if contract:
        in_scenarios(place, rules, traffic)
        in_a_lab(lab, rules, traffic)


@pytest.fixture(scope="module")
def clone(session_place, capture):
    """A folder as a person has it who has just built the program: scripts/, build/tunfilter, rules.lua."""
    folder = session_place.path / "clone"
    shutil.copytree(harness.ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for program in ("build/tunfilter", "bin/tunfilter"):
        (folder / program).parent.mkdir()
        shutil.copy(session_place.program, folder / program)
    (folder / "bin/sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (folder / "bin/sudo").chmod(0o755)
    readme = harness.ROOT / "README.md"
    (folder / "rules.lua").write_text(next(text for _, language, text in blocks(readme) if language == "lua"))
    shutil.copy(capture, folder / "in.pcap")
    subprocess.run(["chmod", "-R", "a+rwX", folder], check=True)
    return folder


# What an example means by blue and green, in a user namespace where nobody else sees them.
NAMESPACES = "mount -t tmpfs none /run && ip netns add blue && ip netns add green && "


@pytest.mark.skipif(harness.SANITIZED, reason="what the commands do has tests of its own")
@pytest.mark.parametrize("text", shell_examples())
def test_commands(place, clone, text):
    for part, reason in NOT_HERE.items():
        if part in text:
            pytest.skip(reason)
    single = "\n" not in text
    words = shlex.split(text) if single else []
    prefix = []
    if words[:1] == ["sudo"]:
        prefix = [*harness.IN_NAMESPACE, "--mount"]
        words = words[1:]
    if words and (words[1] == "run" or words[1].endswith(".lua")):  # runs until it is interrupted
        text = "timeout --preserve-status -s INT 2 " + text
    if prefix:
        text = NAMESPACES + text
    env = place.environment()
    env["PATH"] = "%s/bin:%s" % (clone, env["PATH"])
    done = subprocess.run(harness.ordinary_user([*prefix, "sh", "-euc", text]), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, errors="replace", env=env, cwd=clone, check=False,
                          timeout=harness.DEADLINE)
    said = "status %d\n%s%s" % (done.returncode, done.stdout, done.stderr)
    # A single command may be a ping that a rule drops; a block says itself what may fail.
    assert done.returncode in ((0, 1) if single else (0,)), said
    assert "tunfilter: error" not in done.stderr, said


def test_there_are_examples():
    assert len(list(lua_examples())) >= 1 and len(list(shell_examples())) >= 10
