"""The manual page is well formed and says all that --help and the program's messages rely on."""

import re
import shutil
import subprocess

import pytest

import harness

PAGE = harness.ROOT / "src/tunfilter.1"


def plain(text):
    """The page's text without its macros and escapes."""
    return re.sub(r"\\f[BIPR]", "", text).replace("\\-", "-").replace("\\~", " ")


@pytest.mark.skipif(not shutil.which("man"), reason="needs man")
def test_man_finds_nothing_wrong():
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", PAGE], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.skipif(not shutil.which("mandoc"), reason="needs mandoc")
def test_mandoc_finds_nothing_wrong():
    done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", PAGE], capture_output=True, text=True, check=False)
    assert not done.stdout + done.stderr


def test_what_help_names(place):
    shown = harness.run(place, "--help").stdout
    text = plain(PAGE.read_text())
    options = set(re.findall(r"--?\w[\w-]*", shown)) - {"-c"}
    commands = set(re.findall(r"^  tunfilter (\w+) ", shown, re.M)) | {"run"}
    keys = set(re.findall(r",(\w+)=", shown))
    assert len(options) >= 13 and len(commands) >= 5 and len(keys) >= 4
    for word in options | {key + "=" for key in keys}:
        assert re.search(r"(?<![\w-])%s(?![\w-])" % re.escape(word) if word[0] == "-" else word, text), word
    for word in commands:
        assert re.search(r"^\.B %s$" % word, text, re.M), word


def test_its_script(place):
    script = re.search(r"\.EX\n(local .*?)\.EE", PAGE.read_text(), re.S)[1]
    done = harness.run(place, "check", place.script(plain(script)))
    assert done.returncode == 0, done.stderr


def test_its_broken_expression(place):
    message = re.search(r"\.EX\n(bad expression.*?)\.EE", PAGE.read_text(), re.S)[1]
    script = place.script('require "tunfilter".on_packet("%s", print)\n' % message.split("\n")[1].strip())
    done = harness.run(place, "check", script)
    assert message in done.stderr
