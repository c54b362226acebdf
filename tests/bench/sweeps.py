"""How a cost grows: with the packets' size and the size of a burst, live; with callbacks, flows and
lists, in the script alone."""
import functools
import random
import statistics
import tempfile

from candidates import Tunfilter
from hosts import MANY, Failed, Link, run
from measures import flood

COMPARED = ("drain", "large", "look")
FOREVER = 120  # seconds, for a step that takes a few


class Sweep:
    """title, x and y: its words; points(links, o) gives (series, x, value) one after the other."""

    def __init__(self, title, x, y, points):
        self.title, self.x, self.y, self.points = title, x, y, points

    def run(self, links, o):
        series = {}
        for name, x, value in self.points(links, o):
            series.setdefault(name, []).append([x, value])
        return {"title": self.title, "x": self.x, "y": self.y, "series": series}


def times(o):
    return 1 if o.quick else min(o.rounds, 5)


def medians(o, points):
    """(name, x, function) → (name, x, median): all points in turn, and all again."""
    values = [[] for _ in points]
    for _ in range(times(o)):
        for found, (_, _, function) in zip(values, points):
            found.append(function())
    return [(name, x, statistics.median(found)) for found, (name, x, _) in zip(values, points)]


def sizes(links, o):
    def rate(link, size):
        def once():
            _, arrived, seconds, _ = flood(link, o.seconds / 2, size=size)
            return arrived / seconds / 1e3
        return once

    here = {name: links[name] for name in COMPARED if name in links}
    points = [(name, size, rate(link, size)) for size in (64, 128, 256, 512, 1024, 1500) for name, link in here.items()]
    yield from medians(o, points)
    for name, link in here.items():
        with Link(link.candidate, link.build, mtu=9000) as jumbo:
            yield from medians(o, [(name, 9000, rate(jumbo, 9000))])


def bursts(links, o):
    def lost(link, count):
        def once():
            sent, arrived, _, _ = flood(link, 5, packets=count)
            return (sent - arrived) * 100 / sent
        return once

    yield from medians(o, [(name, count, lost(links[name], count)) for count in (64, 256, 1024, 2048, 4096, 8192, 16384)
                           for name in COMPARED if name in links])


def live_flows(_, o):
    """A million flows are 64 ports of as many addresses as it takes, all of them the right host's."""
    counts = (10, 1_000_000) if o.quick else (10, 1000, 100_000, 1_000_000)
    with Link(Tunfilter("flow", "", "flow.lua"), o.build) as link:
        link.left.ip(f"route add {MANY}/16 dev bench")
        link.right.ip(f"route add local {MANY}/16 dev lo")
        for count in counts:  # until all have come; what is lost on the way comes another time
            flood(link, FOREVER, count, rate=200_000, packets=count * 1.5, to=MANY)

        def cost(count):
            _, arrived, _, spent = flood(link, o.seconds, count, to=MANY)
            return spent * 1e9 / arrived
        yield from medians(o, [("tf.flow", count, functools.partial(cost, count)) for count in counts])


CALLBACKS = """
local tf = require "tunfilter"
local kinds = { "udp dst port %%d", "host 10.1.%%d.1", "src net 10.%%d.0.0/16", "tcp[tcpflags] & tcp-syn != 0 and dst port %%d",
   "ip6 and port %%d", "udp and greater %%d" }
for i = 1, %d do
   local n = i %% 250 + 1
   tf.on_packet(%s, function(pkt) if pkt.udp and pkt.udp.dport == 0 then return tf.drop end end)
end
"""
CALLBACK_KINDS = {  # what each is registered on, and the packets: ports 1 to 1,000, or of all kinds
    "a port each": ('"udp dst port " .. i', "ports:1000"),
    "six kinds": ("kinds[i % 6 + 1]:format(i % 6 % 5 == 0 and i or n)", "mixed"),
    "all of them udp": ('"udp"', "ports:1000"),
}


def lua_cost(build, folder, rules, traffic, seconds=0.3):
    """The script's nanoseconds a packet, and its longest batch in microseconds."""
    with open(f"{folder}/rules.lua", "w", encoding="utf-8") as file:
        file.write(rules)
    words = run([f"{build}/tests/bench/bench_lua", f"{folder}/rules.lua", "64", seconds, traffic], FOREVER)
    return float(words[0]), float(words[1])


def callbacks(_, o):
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield from medians(o, [
            (name, count, functools.partial(lambda *words: lua_cost(*words)[0], o.build, folder, CALLBACKS % (count, argument), traffic))
            for count in ((1, 1000) if o.quick else (1, 3, 10, 30, 100, 300, 1000))
            for name, (argument, traffic) in CALLBACK_KINDS.items()])


FLOW_RULES = """
local tf = require "tunfilter"
tf.flow.max = 2097152
tf.on_packet(function(pkt) local flow = tf.flow(pkt) flow.packets = (flow.packets or 0) + 1 end)
"""


@functools.lru_cache(None)
def flow_figures(build, turns, count):
    """As lua_cost; with many flows long enough for all of them to have come."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        found = [lua_cost(build, folder, FLOW_RULES, f"flows:{count}", 0.5 + count / 200_000) for _ in range(turns)]
    return [statistics.median(values) for values in zip(*found)]


def flows(which):
    def points(_, o):
        for count in (10, 1_000_000) if o.quick else (10, 100, 1000, 10_000, 100_000, 1_000_000):
            yield "tf.flow", count, flow_figures(o.build, times(o), count)[which]
    return points


LIST_RULES = """
local tf = require "tunfilter"
local clock, start = os.clock, os.clock()
local list = tf.%s.load "list.txt"
local loaded = clock() - start
local some = {}
for line in io.lines(tf.args.some) do some[#some + 1] = %s end
local turns, found, n = 1000000, 0, #some
local function look()
   for i = 1, turns do
      if list:contains(some[i %% n + 1]) then found = found + 1 end
   end
end
look()
start = clock()
look()
io.stdout:write(" figures ", loaded * 1e3, " ", (clock() - start) / turns * 1e9, " ", found, "\\n")
tf.on_packet(function() end)
"""
LISTS = {"tf.names": ("names", "line", lambda n: f"host{n * 7919 % 10_000_019}.example{n % 97}.net"),
         "tf.nets": ("nets", "tf.ip(line)", lambda n: f"{n % 199 + 11}.{n // 199 % 250}.{n // 49750 % 250}.{n % 250}")}


@functools.lru_cache(None)
def list_figures(build, turns, name, count):
    """Loads a list and looks up 4,096 things, half of which are in it: milliseconds, nanoseconds."""
    word, element, make = LISTS[name]
    chance = random.Random(count)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        with open(f"{folder}/list.txt", "w", encoding="utf-8") as file:
            file.writelines(make(n) + "\n" for n in range(count))
        with open(f"{folder}/some.txt", "w", encoding="utf-8") as file:
            file.writelines(make(chance.randrange(count * 2)) + "\n" for n in range(4096))
        with open(f"{folder}/rules.lua", "w", encoding="utf-8") as file:
            file.write(LIST_RULES % (word, element))
        argv = [f"{build}/tunfilter", "check", "-q", "--unsafe", "--set", f"some={folder}/some.txt", f"{folder}/rules.lua"]
        turns = [run(argv, FOREVER) for _ in range(turns)]
    loads, looks, found = zip(*(map(float, words[words.index("figures") + 1:][:3]) for words in turns))
    if not all(found):
        raise Failed(f"{name}: nothing was found in the list")
    return statistics.median(loads), statistics.median(looks)


def lists(which):
    def points(_, o):
        for name in LISTS:
            for count in (1000, 10_000, 100_000, 200_000, 1_000_000):
                if count <= 200_000 or name == "tf.names":
                    yield name, count, list_figures(o.build, times(o), name, count)[which]
    return points


SWEEPS = {
    "size": Sweep("Packets by size", "bytes of a packet", "k/s", sizes),
    "bursts": Sweep("Lost of a burst, a queue of 4,096", "packets at once", "%", bursts),
    "callbacks": Sweep("Callbacks on expressions", "callbacks", "ns a packet", callbacks),
    "live-flows": Sweep("A table of flows, live: processor time", "flows", "ns a packet", live_flows),
    "flows": Sweep("A table of flows, the script alone", "flows", "ns a packet", flows(0)),
    "stalls": Sweep("A table of flows: the longest batch", "flows", "µs", flows(1)),
    "lookup": Sweep("Lists: a look-up", "entries", "ns", lists(1)),
    "load": Sweep("Lists: loading", "entries", "ms", lists(0)),
}
QUICK = ["callbacks", "live-flows", "flows", "stalls", "lookup", "load"]
LIVE = ["size", "bursts"]
