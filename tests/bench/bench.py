"""The engine of scripts/bench, which builds first and says what the words mean."""
import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time

import capture
import draw
import sweeps
from candidates import ALL
from hosts import TROUBLE, Link
from measures import FIGURES, MEASURES
from results import NEEDED, REFERENCES, Results, judge

SHOWN = ALL + capture.PROGRAMS
QUICK_BUDGET = 68  # seconds after which --quick begins no round


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", usage="see scripts/bench --help")
    parser.add_argument("build")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--svg")
    parser.add_argument("--json")
    parser.add_argument("--markdown")
    o = parser.parse_args()
    if o.rounds < 1:
        parser.error("--rounds: at least 1")
    if o.seconds is not None and not 0.01 <= o.seconds <= 60:
        parser.error("--seconds: from 0.01 to 60")
    for path in filter(None, (o.svg, o.json, o.markdown)):
        try:
            open(path, "ab").close()  # better now than after all the work
        except OSError as error:
            parser.error(str(error))
    unknown = set(o.only) - {c.name for c in ALL} - set(MEASURES) - set(sweeps.SWEEPS) - {"capture"}
    if unknown:
        parser.error(f"--only: nothing here is called {sorted(unknown)[0]}; --list says what there is")
    o.seconds = o.seconds or (0.3 if o.quick else 1.0)
    o.warmup = min(0.4, o.seconds / 2)
    o.build = os.path.abspath(o.build)
    return o


def chosen(o):
    """Candidates, measures and sweeps that the words of --only name; of a kind of which none is
    named, all."""
    names = {name for _, name in NEEDED} if o.quick else {c.name for c in ALL}
    candidates = [c for c in ALL if c.name in o.only] or [c for c in ALL if c.name in names]
    measures = {n: m for n, m in MEASURES.items() if n in o.only}
    wanted = [n for n in [*sweeps.SWEEPS, "capture"] if n in o.only]
    if not measures and not wanted:
        measures, wanted = MEASURES, sweeps.QUICK if o.quick else [*sweeps.SWEEPS, "capture"]
    return candidates, measures, wanted


def list_all():
    for title, entries in (("candidates", [(c.name, c.title) for c in ALL]),
                           ("measures", [(n, FIGURES[n].title) for n in [*MEASURES, "capture"]]),
                           ("sweeps", [(n, s.title) for n, s in sweeps.SWEEPS.items()])):
        print(f"{title}:")
        for name, text in entries:
            print(f"  {name:<12} {text}")


def own_namespaces():
    """Begins again as root of a user namespace where this is not root."""
    if os.geteuid() == 0:
        return
    into = ["unshare", "--user", "--map-root-user", "--net"]
    why = ""
    if subprocess.run([*into, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        why = "this system lets no ordinary user make namespaces"
    elif not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        why = "/dev/net/tun is not open to ordinary users here"
    if why:
        print(f"scripts/bench: {why}: run it as root (it touches only namespaces of its own)", file=sys.stderr)
        raise SystemExit(3)
    os.execvp(into[0], [*into, sys.executable, *sys.argv])


class Progress:
    """One line on standard error that says what goes on, where that is a terminal."""

    def __init__(self):
        self.on = sys.stderr.isatty()

    def say(self, text):
        if self.on:
            sys.stderr.write(f"\r\x1b[K{text}"[:shutil.get_terminal_size().columns])
            sys.stderr.flush()

    def end(self):
        self.say("")


class Field:
    """The candidates that take part, all of them running, each between its own hosts."""

    def __init__(self, results, progress):
        self.results, self.progress = results, progress
        self.stack, self.links, self.faults = contextlib.ExitStack(), {}, {}

    def join(self, candidates, build):
        for candidate in candidates:
            self.progress.say(f"starting {candidate.name}")
            try:
                why = candidate.missing(build)
                if why is None:
                    self.links[candidate.name] = self.stack.enter_context(Link(candidate, build))
                    continue
            except TROUBLE as error:
                why = str(error)
            self.results.left_out[candidate.name] = why

    def measure(self, turn, name, function, o):
        for candidate, link in list(self.links.items()):
            slow = o.quick and candidate == "scapy"  # once, and long enough to be under way
            if o.quick and (name, candidate) not in NEEDED or slow and turn > 0:
                continue
            self.progress.say(f"round {turn + 1} of {o.rounds}: {name}, {candidate}")
            try:
                link.alive()
                self.results.add(turn, candidate, function(link, argparse.Namespace(seconds=2, warmup=1) if slow else o))
            except TROUBLE as error:
                self.fault(f"{candidate}, {name}, round {turn + 1}: {error}", candidate, link)

    def fault(self, text, candidate, link):
        """Once a candidate has ended, or three steps of it have failed, it is out."""
        self.results.failures.append(text)
        self.faults[candidate] = self.faults.get(candidate, 0) + 1
        if self.faults[candidate] == 3 or (link.process and link.process.popen.poll() is not None):
            self.results.left_out[candidate] = f"out after: {text}"
            del self.links[candidate]


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def write_json(path, o, results, took):
    machine = {"processors": len(os.sched_getaffinity(0)), "kernel": platform.release(),
               "architecture": platform.machine()}
    document = {
        "machine": machine, "rounds": o.rounds, "seconds": o.seconds, "quick": o.quick, "took": round(took, 1),
        "candidates": {c.name: c.title for c in SHOWN}, "left_out": results.left_out, "failures": results.failures,
        "units": {n: {"title": f.title, "unit": f.unit, "more_is_better": f.up} for n, f in FIGURES.items()},
        "figures": results.rounds, "summary": results.summary(), "sweeps": results.sweeps, "judged": judge(results)}
    write(path, json.dumps(document, indent=1) + "\n")


def report(results, o):
    ascii_only = not (sys.stdout.isatty() and "utf" in (sys.stdout.encoding or "").lower())
    columns = shutil.get_terminal_size((110, 25)).columns
    for line in draw.terminal(results, FIGURES, SHOWN, REFERENCES, columns, ascii_only):
        print(line)
    for sweep in results.sweeps.values():
        print(draw.plain(f"\n{sweep['title']}, {sweep['y']}", ascii_only))
        xs = sorted({x for points in sweep["series"].values() for x, _ in points})
        rows = [[sweep["x"], *(f"{x:,g}" for x in xs)]]
        for name, points in sweep["series"].items():
            found = dict(points)
            rows.append([name, *(f"{found[x]:,.4g}" if x in found else "-" for x in xs)])
        for line in draw.table(rows, ascii_only):
            print("  " + line)
    rows = [["what", "aim", "figure", ""]]
    for entry in judge(results):
        if o.only and entry["figure"] is None:
            continue
        rows.append([entry["text"], entry["aim"], entry["shown"],
                     "" if entry["met"] is None else "met" if entry["met"] else "NOT MET"])
    if len(rows) > 1:
        print("\nHow it is judged (medians; ratios of the same round)")
        for line in draw.table(rows, ascii_only):
            print("  " + line)
    for name, why in results.left_out.items():
        print(draw.plain(f"left out: {name}: {why}", ascii_only))
    for text in results.failures:
        print(draw.plain(f"failed: {text}", ascii_only))


def measure(o, results, progress):
    """All rounds, then the sweeps; how many rounds there were."""
    candidates, measures, wanted = chosen(o)
    field, begun, turn = Field(results, progress), time.monotonic(), 0
    with field.stack:
        if measures or set(wanted) & set(sweeps.LIVE):
            field.join(candidates, o.build)
        while measures and turn < o.rounds and not (o.quick and time.monotonic() - begun > QUICK_BUDGET):
            for name, function in measures.items():
                field.measure(turn, name, function, o)
            turn += 1
        for name in wanted:
            progress.say(f"sweep: {name}")
            try:
                if name == "capture":
                    capture.measure(o, results, progress)
                    continue
                results.sweeps[name] = sweeps.SWEEPS[name].run(field.links, o)
            except TROUBLE as error:
                results.failures.append(f"sweep {name}: {error}")
    return turn or o.rounds


def stop(number, _):
    raise SystemExit(128 + number)


def main():
    o = arguments()
    if o.list:
        list_all()
        return
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    own_namespaces()
    for number in signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, stop)
    begun, results, progress = time.monotonic(), Results(), Progress()
    try:
        o.rounds = measure(o, results, progress)
    finally:
        progress.end()
    report(results, o)
    took = time.monotonic() - begun
    print(f"\nrounds: {o.rounds}; {took:.0f} s")
    if o.json:
        write_json(o.json, o, results, took)
    text = (f"Medians of {o.rounds} rounds; {len(os.sched_getaffinity(0))} processors for senders, filter and receivers, "
            f"Linux {platform.release().split('-')[0]}.")
    if o.svg:
        write(o.svg, draw.svg(results, FIGURES, SHOWN, "tunfilter beside other ways to forward packets", text))
    if o.markdown:
        write(o.markdown, "\n".join(draw.markdown(results, FIGURES, SHOWN, judge(results), text)) + "\n")
    if not any(results.rounds.values()) and not results.sweeps:
        raise SystemExit(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
