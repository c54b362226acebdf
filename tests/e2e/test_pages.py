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

import harness
import packets

CONTRACT = harness.ROOT.parent / "shared/API.md"

# What the contract describes and this version does not have yet. On the tree's own pages nothing is left out.
LATER = ["tf.nets", "tf.names"]

# Commands that are not run here: a part of the text, and why.
NOT_HERE = {
    "tunfilter enter": "needs a lab in another terminal; test_lab.py",
    "cmake --install": "would install on this machine",
    "scripts/test": "is what runs this test",
    "scripts/demo": "installs packages; it has a test of its own",
    "scripts/packages": "installs packages",
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
                later = [word for word in LATER if word in text] if path == CONTRACT else []
                marks = [pytest.mark.skip(reason="later: " + ", ".join(later))] if later else []
                yield pytest.param(text, id=name_of(path, line), marks=marks)


def commands_in(text):
    """The commands in a text of lines, those that start with the program's name; a \\ joins lines."""
    for line in re.sub(r" *\\\n *", " ", text).split("\n"):
        synopsis = re.search(r"[][|]|RULES|  ", line)
        if re.match(r"(sudo )?tunfilter (\S+\.lua|run|lab|check|enter|doctor)\b", line) and not synopsis:
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
    rng = packets.generator(7)
    return packets.many_ip(rng, 200)


@pytest.mark.parametrize("text", lua_examples())
def test_lua(lab, place, traffic, text):
    if 'require "tunfilter.test"' in text:  # scenarios; the pages' are about scripts/drop-icmp.lua
        rules = place.script((harness.ROOT / "scripts/drop-icmp.lua").read_text())
        done = harness.run(place, "test", rules, place.script(text))
        assert done.returncode == 0, done.stdout + done.stderr
        return
    if 'require "tunfilter"' not in text:
        text = 'local tf = require "tunfilter"\n' + text
    with lab(text) as running:
        for start in range(0, len(traffic), 50):
            for number, packet in enumerate(traffic[start : start + 50]):
                (running.left if number % 2 else running.right).send(packet)
            running.left.drain()
            running.right.drain()
        time.sleep(0.1)  # all is read by now, or the sum below says so
    assert running.status == 0, running.stderr
    assert not re.search(r"error: |more errors? in", running.stderr), running.stderr
    assert sum(running.table()["in"]) == len(traffic)


@pytest.fixture(scope="module")
def clone(session_place):
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
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    return folder


# What an example means by blue and green, in a user namespace where nobody else sees them.
NAMESPACES = "mount -t tmpfs none /run && ip netns add blue && ip netns add green && "


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
