"""Fixtures; what they stand on is in harness.py and wire.py."""

import logging
import signal
import warnings

import pytest

import harness

logging.getLogger("scapy").setLevel(logging.ERROR)  # it looks for routes when it is imported
warnings.filterwarnings("ignore", module="scapy")
# A shell's "&" has it ignored, which the programs that tests start would have too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def session_place():
    assert harness.PROGRAM.exists(), "no program at %s: build it, or set TUNFILTER" % harness.PROGRAM
    place = harness.Place()
    yield place
    place.remove()


@pytest.fixture
def place(session_place):
    """A folder for scripts, and the program in it. A sanitizer's report fails the test."""
    yield session_place
    report = session_place.sanitizer_reports()
    assert not report, report


@pytest.fixture
def lab(place):
    """lab(rules, *options, kind=, mtu=): a Lab, to be used in a with statement."""
    return lambda rules, *options, **how: harness.Lab(place, rules, *options, **how)


def pytest_sessionfinish(session):
    """A file whose tests are all left out says so to CTest, by its status (SKIP_RETURN_CODE)."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    left_out = reporter.stats.get("skipped", [])
    if left_out and session.exitstatus == 0 and not reporter.stats.get("passed"):
        print("\nnothing was tested: %s" % left_out[0].longrepr[2])
        session.exitstatus = 77
