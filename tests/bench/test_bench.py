"""The benchmark itself: that its references forward, that its sums are right, that nothing stays."""
import json
import os
import random
import signal
import subprocess
import sys
import time
import xml.dom.minidom
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import bench  # noqa: E402
import draw  # noqa: E402
import hosts  # noqa: E402
from candidates import ALL  # noqa: E402
from measures import FIGURES  # noqa: E402
from results import AIMS, Aim, Results, judge, quartiles  # noqa: E402

BUILD = Path(os.environ.get("TUNFILTER", HERE.parents[1] / "build/tunfilter")).resolve().parent
root = pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces")


def test_quartiles_of_known_numbers():
    assert quartiles([5, 1, 4, 2, 3]) == [2, 3, 4]
    assert quartiles([7]) == [7, 7, 7]
    assert quartiles([]) is None
    assert quartiles([10, 20]) == [12.5, 15, 17.5]


def known():
    """Three rounds in which the machine became ten times slower; look missed one."""
    results = Results()
    for turn, (drain, look) in enumerate([(100, 200), (50, None), (10, 30)]):
        results.add(turn, "drain", {"tcp1": drain})
        if look:
            results.add(turn, "look", {"tcp1": look})
    return results


def test_ratios_are_of_the_same_round():
    results = known()
    assert results.rounds["tcp1"]["look"] == [200, None, 30]
    assert results.ratios("tcp1", "look", "drain") == [2, 3]
    assert results.ratio("tcp1", "look", "drain") == 2.5
    assert results.median("tcp1", "look") == 115
    assert results.ratio("tcp1", "look", "absent") is None
    summary = results.summary()["tcp1"]["look"]
    assert summary["rounds"] == 2 and summary["ratio to drain"] == [2.25, 2.5, 2.75]


def test_a_bound_belongs_to_what_meets_it():
    def met(value, **bounds):
        return Aim("x", lambda results: value, **bounds).judge(None)["met"]

    assert met(0.8, least=0.8) and not met(0.79, least=0.8)
    assert met(1.1, most=1.1) and not met(1.11, most=1.1)
    assert met(5) is None and met(None, least=1) is None
    texts = {entry["text"]: entry for entry in judge(known())}
    assert len(texts) == len(AIMS)
    entry = texts["TCP, one stream, looking at every packet, to the plain C drain"]
    assert entry["figure"] == 2.5 and entry["met"] is False
    assert texts["Start to first packet"]["shown"] == "not measured"


def test_what_was_measured_in_one_round_says_so():
    results = known()
    results.add(0, "scapy", {"tcp1": 2})
    shown = {entry["text"]: entry["shown"] for entry in judge(results)}
    assert shown["TCP, one stream, looking at every packet, to scapy"] == "100.00 (one round)"
    assert shown["TCP, one stream, looking at every packet, to the plain C drain"] == "2.50"


def test_bars():
    assert draw.bar(1, 4, False) == "████" and draw.bar(0.5, 4, False) == "██  "
    assert draw.bar(0.5, 4, True) == "##  " and draw.bar(7, 4, True) == "####"
    lines = list(draw.terminal(known(), FIGURES, ALL, ("drain",), 100, True))
    assert lines[1].startswith("TCP, one stream, Gbit/s") and "".join(lines).isascii()
    assert [line.split()[0] for line in lines[2:]] == ["drain", "look"]


def test_svg_is_well_formed_and_has_every_figure():
    results = known()
    results.sweeps["x"] = {"title": "a < b", "x": "n", "y": "ns", "series": {"one": [[1, 5], [1000, 500]], "two": [[10, 0]]}}
    text = draw.svg(results, FIGURES, ALL, "title", "text")
    words = [t.firstChild.data for t in xml.dom.minidom.parseString(text).getElementsByTagName("text")]
    assert {"drain", "look", "115.00", "50.00", "a < b", "one", "two"} <= set(words)


def exchange(link, patience):
    """Whether a datagram goes from left to right as it is, and its answer back."""
    words = random.randbytes(700)
    with link.left.socket() as near, link.right.socket() as far:
        near.settimeout(patience)
        far.settimeout(patience)
        far.bind(("0.0.0.0", 0))  # at a port of its own: an earlier exchange may come late
        there = hosts.RIGHT, far.getsockname()[1]
        near.sendto(words, there)
        try:
            got, source = far.recvfrom(2000)
            far.sendto(got[::-1], source)
            back, answerer = near.recvfrom(2000)
        except TimeoutError:
            return False
        assert got == words and back == words[::-1] and answerer == there
        return True


@root
@pytest.mark.parametrize("candidate", ALL, ids=lambda c: c.name)
def test_a_candidate_forwards_and_nobody_else_does(candidate):
    why = candidate.missing(str(BUILD))
    if why:
        pytest.skip(why)
    with hosts.Link(candidate, str(BUILD)) as link:
        assert exchange(link, 20)
        if link.process:
            for pid in link.pids():
                os.kill(pid, signal.SIGSTOP)
            assert not exchange(link, 0.3)
            for pid in link.pids():
                os.kill(pid, signal.SIGCONT)
            assert exchange(link, 20)


def start(*words):
    return subprocess.Popen([sys.executable, HERE / "bench.py", BUILD, *words], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


@root
def test_a_run_gives_every_field(tmp_path):
    there = [c.name for c in ALL if c.name in ("drain", "large", "kernel", "look") and c.missing(str(BUILD)) is None]
    run = start("--rounds", "2", "--seconds", "0.2", "--json", tmp_path / "out.json", "--svg", tmp_path / "out.svg",
                "--markdown", tmp_path / "out.md", "--only", *there, "tcp1", "udp", "ping", "memory")
    out, err = run.communicate(timeout=100)
    assert run.returncode == 0, out + err
    found = json.loads((tmp_path / "out.json").read_text())
    assert not found["failures"], found["failures"]
    assert {"drain", "large", "look"} <= set(there)
    for figure in "tcp1", "udp", "ping", "ping99":
        for name in there:
            values = found["figures"][figure][name]
            assert len(values) == 2 and all(value > 0 for value in values), (figure, name, values)
            entry = found["summary"][figure][name]
            assert len(entry["quartiles"]) == 3 and entry["rounds"] == 2
    assert found["figures"]["memory"].get("kernel") in (None, [None, None]) and found["figures"]["memory"]["look"][0] > 1
    assert {"machine", "rounds", "candidates", "left_out", "units", "sweeps", "judged"} <= set(found)
    assert len(found["judged"]) == len(AIMS)
    assert "How it is judged" in out and out.isascii() and "NOT MEASURED" not in out.upper()
    xml.dom.minidom.parse(str(tmp_path / "out.svg"))
    rows = [line for line in (tmp_path / "out.md").read_text().splitlines() if line.startswith("|")]
    assert len(rows) >= len(AIMS) + 2 + 2 + len(there) and any(row.startswith("| `look` |") for row in rows)


@root
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_end_at_any_time_leaves_nothing(number):
    run = start("--only", "drain", "look", "tcp1", "--seconds", "60")
    end, children = time.monotonic() + 60, []
    try:
        while len(children) < 10:  # four hosts, who answers there, two forwarders, sender and receiver
            assert time.monotonic() < end and run.poll() is None, "it never ran"
            time.sleep(0.05)
            children = hosts.descendants(run.pid)
        run.send_signal(number)
        run.communicate(timeout=30)
    finally:
        run.kill()  # where it has not ended, which takes all that it started along
    assert run.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    end = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < end, "something still runs"
        time.sleep(0.05)


def test_words_that_it_does_not_know():
    run = start("--only", "tcp9")
    assert "tcp9" in run.communicate(timeout=30)[1] and run.returncode == 2
    run = start("--json", "/absent/folder/out.json")
    assert "/absent/folder" in run.communicate(timeout=30)[1] and run.returncode == 2
    run = start("--list")
    out = run.communicate(timeout=30)[0]
    assert all(name in out for name in [c.name for c in ALL] + list(bench.MEASURES))
