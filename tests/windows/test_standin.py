"""The stand-in itself: a program that misuses the library ends with a message; and what tunfilter's device leaves
behind after a thousand opens and closes: nothing."""

import re

import pytest

import wine

TOOLS = wine.BUILD / "tests/windows/standin"


@pytest.mark.parametrize("case, said", [
    ("nothing", None),
    ("release twice", "ReleaseReceivePacket: not a packet that it had, or given back twice"),
    ("send twice", "SendPacket: not a packet that it had, or given back twice"),
    ("keep a packet", "EndSession: a received packet was not released"),
    ("send nothing", "EndSession: an allocated packet was not sent"),
    ("close first", "CloseAdapter: its session has not ended"),
    ("end twice", "EndSession: no session, or one that has ended"),
    ("close twice", "CloseAdapter: no adapter, or one that is closed"),
    ("leave open", "the end: an adapter is still open"),
    ("odd ring", "StartSession: a ring has a power of two"),
    ("too long", "AllocateSendPacket: 65536 bytes"),
    ("no packet", "SendPacket: neither IPv4 nor IPv6"),
])
def test_misuse(folder, case, said):
    done = wine.run(folder, case, program=TOOLS / "misuse.exe")
    text = done.stderr.decode()
    if said is None:
        assert done.returncode == 0 and not text, done
    else:
        assert done.returncode == 99 and "wintun stand-in: misuse: " + said in text, done


def test_a_thousand_opens_and_closes_leave_nothing(folder):
    for _ in range(3):  # on a busy machine what a program prints as it ends is sometimes lost under wine
        done = wine.run(folder, "1000", program=TOOLS / "reopen.exe")
        assert done.returncode == 0, done
        if done.stdout:
            break
    before, after, packets = map(int, re.search(rb"handles (\d+) then (\d+), packets (\d+)", done.stdout).groups())
    assert after <= before and packets == 1000, done.stdout
