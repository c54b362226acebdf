"""scripts/packages on machines that lack things: a PATH with only some commands, and a package manager that writes down
what it is told."""

import os
import shutil
import subprocess

import pytest

import harness

# What the script itself needs.
TOOLS = ["bash", "env", "id", "sort", "tr", "cat"]

MANAGERS = {
    "apt-get": (["apt-get update -q"], "apt-get install -y -q --no-install-recommends", ["cmake", "libuv1-dev", "ninja-build"]),
    "dnf": ([], "dnf install -y -q", ["cmake", "libuv-devel", "ninja-build"]),
    "pacman": ([], "pacman -Sy --needed --noconfirm", ["cmake", "libuv", "ninja"]),
    "brew": ([], "brew install", ["cmake", "libuv", "ninja"]),
}


@pytest.fixture
def machine(tmp_path):
    """machine(*commands): runs scripts/packages where there are only these commands, and those that it needs."""

    def run(*argv, commands=(), user=False):
        folder = tmp_path / "bin"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for tool in TOOLS:
            os.symlink(shutil.which(tool), folder / tool)
        for name, text in commands:
            (folder / name).write_text("#!/bin/sh\n" + text + "\n")
            (folder / name).chmod(0o755)
        if user:  # an id that is nobody's business
            (folder / "id").unlink()
            (folder / "id").write_text("#!/bin/sh\necho 1000\n")
            (folder / "id").chmod(0o755)
        # The system's folders behind PATH in which the script looks too are not to be found either.
        script = (harness.ROOT / "scripts/packages").read_text().replace(":/usr/sbin:/sbin", "")
        return subprocess.run([folder / "bash", "-c", script, "packages", *argv], env={"PATH": str(folder)},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    return run


def recorder(name, status=0):
    return name, 'echo "%s $*"; exit %d' % (name, status)


# As if gcc and all libraries but libuv were there.
SOME = [("cc", ""), ("pkg-config", '[ "$2" != libuv ]')]


@pytest.mark.parametrize("manager", MANAGERS)
def test_installs_what_is_missing_by_the_managers_names(machine, manager):
    before, install, names = MANAGERS[manager]
    done = machine("build", commands=[*SOME, recorder(manager)])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["missing packages (%s): %s" % (manager, " ".join(names)),
                                        *before, install + " " + " ".join(names)]


def test_nothing_to_do(machine):
    commands = [("cc", ""), ("cmake", ""), ("ninja", ""), ("pkg-config", ""), recorder("apt-get", 1)]
    done = machine("build", commands=commands)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_only_says(machine):
    done = machine("-n", "build", commands=[*SOME, recorder("apt-get")])
    assert done.returncode == 1
    assert done.stdout == "missing packages (apt-get): cmake libuv1-dev ninja-build\n"


def test_through_sudo(machine):
    done = machine("build", commands=[*SOME, recorder("apt-get"), ("sudo", 'shift; [ "$1" = true ] || echo sudo; "$@"'),
                                      ("true", "")], user=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[2:] == ["sudo", "apt-get update -q", "sudo",
                                            "apt-get install -y -q --no-install-recommends cmake libuv1-dev ninja-build"]


@pytest.mark.parametrize("commands, words", [
    ([], ["none of apt-get, dnf, pacman and brew", "command cmake", "module libuv"]),
    ([recorder("apt-get", 100)], ["could not install", "libuv1-dev"]),
])
def test_says_why_it_cannot(machine, commands, words):
    done = machine("build", commands=[*SOME, *commands])
    assert done.returncode == 1
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("sudo, words", [
    ([], ["there is no sudo here", "as root: dnf install"]),
    ([("sudo", "exit 1")], ["asks for a password and there is no terminal", "as root: dnf install"]),
])
def test_without_rights(machine, sudo, words):
    done = machine("build", commands=[*SOME, recorder("dnf"), *sudo], user=True)
    assert done.returncode == 1
    for word in words:
        assert word in done.stderr, done.stderr


def test_wrong_words(machine):
    assert machine().returncode == 2
    done = machine("everything")
    assert done.returncode == 2 and "build, test, demo" in done.stderr
