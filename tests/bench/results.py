"""The figures of all rounds, what is made of them, and how they are judged."""
import statistics

from measures import FIGURES

REFERENCES = ("drain", "large")  # what ratios are shown to


def quartiles(values):
    """Lower quartile, median, upper quartile; None without values."""
    if not values:
        return None
    if len(values) == 1:
        return values * 3
    return statistics.quantiles(values, n=4, method="inclusive")


class Results:
    """Figures by name, candidate and round."""

    def __init__(self):
        self.rounds = {}  # figure → candidate → [value of each round, or None]
        self.left_out = {}  # candidate → why
        self.failures = []  # what went wrong on the way, in words
        self.sweeps = {}  # name → {"title", "x", "y", "series": {name: [[x, y], …]}}

    def add(self, turn, candidate, figures):
        for name, value in figures.items():
            values = self.rounds.setdefault(name, {}).setdefault(candidate, [])
            values.extend([None] * (turn + 1 - len(values)))
            values[turn] = value

    def values(self, figure, candidate):
        return [v for v in self.rounds.get(figure, {}).get(candidate, []) if v is not None]

    def turns(self):
        """The most rounds that anything was measured in."""
        return max((len(values) for figure in self.rounds.values() for values in figure.values()), default=0)

    def median(self, figure, candidate):
        found = quartiles(self.values(figure, candidate))
        return found and found[1]

    def ratios(self, figure, candidate, reference):
        """A candidate's figures as multiples of the reference's of the same round."""
        figures = self.rounds.get(figure, {})
        return [a / b for a, b in zip(figures.get(candidate, []), figures.get(reference, []))
                if a is not None and b]

    def ratio(self, figure, candidate, reference):
        found = quartiles(self.ratios(figure, candidate, reference))
        return found and found[1]

    def at(self, sweep, series, x):
        """A point of a sweep, or None."""
        return dict(self.sweeps.get(sweep, {}).get("series", {}).get(series, [])).get(x)

    def summary(self):
        found = {}
        for figure, candidates in self.rounds.items():
            for candidate in candidates:
                entry = found.setdefault(figure, {})[candidate] = {
                    "quartiles": quartiles(self.values(figure, candidate)),
                    "rounds": len(self.values(figure, candidate))}
                for reference in REFERENCES:
                    if reference in candidates:
                        entry["ratio to " + reference] = quartiles(self.ratios(figure, candidate, reference))
        return found


class Ratio:
    """The median of a candidate's ratios to a reference."""

    def __init__(self, figure, candidate, reference):
        self.figure, self.candidate, self.reference = figure, candidate, reference
        self.needs = {(figure, candidate), (figure, reference)}

    def __call__(self, results):
        return results.ratio(self.figure, self.candidate, self.reference)

    def rounds(self, results):
        return len(results.ratios(self.figure, self.candidate, self.reference))


class Median:
    """A candidate's figure itself."""

    def __init__(self, figure, candidate):
        self.figure, self.candidate, self.needs = figure, candidate, {(figure, candidate)}

    def __call__(self, results):
        return results.median(self.figure, self.candidate)


class Worst(Median):
    """The largest of all rounds."""

    def __call__(self, results):
        return max(results.values(self.figure, self.candidate), default=None)


class Point:
    """A point of a sweep, or how many times as much as another one it is."""

    needs = frozenset()

    def __init__(self, sweep, series, x, to=None):
        self.place, self.x, self.to = (sweep, series), x, to

    def __call__(self, results):
        value = results.at(*self.place, self.x)
        if self.to is None or value is None:
            return value
        other = results.at(*self.place, self.to)
        return value / other if other else None


class Aim:
    """One line of "How it is judged": what is compared, and what it has to be. least and most bound
    it; without either it is only said."""

    def __init__(self, text, figure, least=None, most=None, digits=2, unit=""):
        self.text, self.figure, self.least, self.most, self.digits, self.unit = text, figure, least, most, digits, unit

    def aim(self):
        words = [f"{word} {bound:,g}{self.unit}" for word, bound in
                 (("at least", self.least), ("at most", self.most)) if bound is not None]
        return " and ".join(words) or "to be said"

    def judge(self, results):
        value = self.figure(results)
        met = None
        if value is not None and (self.least is not None or self.most is not None):
            met = (self.least is None or value >= self.least) and (self.most is None or value <= self.most)
        shown = "not measured" if value is None else f"{value:,.{self.digits}f}{self.unit}"
        if isinstance(self.figure, Ratio) and self.figure.rounds(results) == 1 < results.turns():
            shown += " (one round)"
        return {"text": self.text, "aim": self.aim(), "figure": value, "met": met, "shown": shown}


AIMS = [
    *(Aim(f"{FIGURES[name].title}, looking at every packet, to {words}", Ratio(name, "look", reference), least)
      for name in ("tcp1", "tcp4")
      for words, reference, least in (("the C pass-through", "large", 0.8), ("the plain C drain", "drain", 5),
                                      ("scapy", "scapy", 1000))),
    # What no program can be ahead of, nor a script of: only said.
    *(Aim(f"{FIGURES[name].title}, the most there is to have here: {words}", Ratio(name, candidate, reference))
      for name in ("tcp1", "tcp4")
      for words, candidate, reference in (("the kernel alone, to the plain C drain", "kernel", "drain"),
                                          ("the C pass-through, to the plain C drain", "large", "drain"),
                                          ("the kernel alone, to scapy", "kernel", "scapy"))),
    *(Aim(f"{FIGURES[name].title}, editing every packet, to the C pass-through", Ratio(name, "nat", "large"), 0.7)
      for name in ("tcp1", "tcp4")),
    Aim("64-byte packets, one flow, to the plain C drain", Ratio("udp", "look", "drain"), 1.2),
    Aim("64-byte packets, 64 flows mixed, to the plain C drain", Ratio("udp64", "look", "drain"), 1.0),
    Aim("Ping-pong when idle, half, to the plain C drain", Ratio("ping", "look", "drain"), most=1.1),
    Aim("Ping-pong beside one TCP stream, half", Median("loaded", "look"), most=100, digits=1, unit=" µs"),
    Aim("Lost of a burst of 2,048, worst round", Worst("burst", "look"), most=0, digits=0),
    Aim("--workers 2 to 1, 64-byte packets of 8 flows", Ratio("udp8", "look-2", "look")),
    Aim("--workers 2, lost at a load that one core carries, worst round", Worst("paced", "look-2"), most=0,
        unit="‰"),
    *(Aim(f"Cost a packet with a million flows, {text}, to that with 10", Point(sweep, "tf.flow", 1_000_000, to=10), most=most)
      for sweep, text, most in (("live-flows", "live", 3), ("flows", "in the script alone", None))),
    Aim("1,000 callbacks, each on another port", Point("callbacks", "a port each", 1000), digits=0, unit=" ns a packet"),
    Aim("1,000 callbacks, on expressions of six kinds", Point("callbacks", "six kinds", 1000), digits=0,
        unit=" ns a packet"),
    Aim("On the way to a million flows, the longest batch", Point("stalls", "tf.flow", 1_000_000), most=1000, digits=0,
        unit=" µs"),
    *(Aim(f"{name}, {text}", Point(sweep, name, count), most=most, digits=0, unit=unit)
      for name, words, count in (("tf.names", "a million names", 1_000_000), ("tf.nets", "200,000 networks", 200_000))
      for sweep, text, most, unit in (("load", f"{words}: loading", 1000, " ms"), ("lookup", f"{words}: a look-up", 100, " ns"))),
    Aim("Start to first packet", Median("start", "look"), most=50, digits=1, unit=" ms"),
    Aim("Processor time when idle", Median("idle", "look"), most=0, digits=0, unit=" µs a second"),
    Aim("Memory at full load, one worker", Worst("memory", "look"), most=64, digits=1, unit=" MB"),
]
# What has to be measured of whom for them: (figure, candidate).
NEEDED = set().union(*(aim.figure.needs for aim in AIMS))


def judge(results):
    return [aim.judge(results) for aim in AIMS]
