"""Addresses and MTUs of adapters, which wine has no functions for: on a stand-in for iphlpapi.dll, in whose words."""

import re
import shutil

import pytest

import harness
import wine


@pytest.fixture(scope="module")
def place():
    folder = wine.Folder()
    shutil.copy(wine.BUILD / "tests/windows/iphlpapi/iphlpapi.dll", folder.path)
    yield folder
    folder.remove()


@pytest.fixture(autouse=True)
def ours_first(monkeypatch):
    monkeypatch.setattr(wine, "OVERRIDES", wine.OVERRIDES + ";iphlpapi=n")


def asked(text):
    return re.findall(r"^iphlpapi: interface (\w+) (.*?)\r?$", text, re.M)


def test_they_are_set(place):
    options = "--left", "tun:left,mtu=1400,address=10.0.0.1/24,address=fd00::1/64", "--right", "tun:right,mtu=1000,address=10.0.1.1/30"
    with wine.Run(place, harness.PASS, *options) as program:
        pass
    assert program.status == 0, program.stderr
    said = asked(program.stderr)
    left, right = dict.fromkeys(luid for luid, _ in said)  # in this order
    assert [words for luid, words in said if luid == left] == ["IPv4 mtu 1400", "IPv6 mtu 1400", "address 10.0.0.1/24", "address fd00::1/64"]
    assert [words for luid, words in said if luid == right] == ["IPv4 mtu 1000", "address 10.0.1.1/30"]
    assert "left (tun), mtu 1400" in program.stderr and "right (tun), mtu 1000" in program.stderr


def test_what_is_not_asked_for_stays(place):
    done = wine.run(place, "run", place.script("error('far enough')"))
    assert done.returncode == 1 and not asked(done.stderr.decode())


def test_the_drivers_own_losses_are_counted(place):
    with wine.Run(place, harness.PASS) as program:
        pass
    assert program.table()["kernel-dropped"] != [0, 0], program.stderr


def test_an_address_that_is_there(place):
    with wine.Run(place, harness.PASS, "--left", "tun:left,address=10.0.0.1/24", fail="CreateUnicastIpAddressEntry:5010") as program:
        pass
    assert program.status == 0, program.stderr


@pytest.mark.parametrize("fail, said", [
    ("CreateUnicastIpAddressEntry:5", r'left device: may not add an address: .*"Run as administrator"'),
    ("CreateUnicastIpAddressEntry:87", r"left device: can't add an address: .*\(error 87\)"),
    ("SetIpInterfaceEntry:87", r"left device: can't set the MTU: .*\(error 87\)"),
    ("GetIpInterfaceEntry:1168", r"left device: can't ask for the interface's settings: .*\(error 1168\)"),
])
def test_refusals(place, fail, said):
    with wine.Run(place, harness.PASS, "--left", "tun:left,mtu=1400,address=10.0.0.1/24", fail=fail, ready=False) as program:
        program.process.wait(60)
    assert program.status == 3 and re.search("error: " + said, program.stderr), program.stderr
