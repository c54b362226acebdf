"""How a cost grows: with the packets' size and the size of a burst, live; with callbacks, flows and
lists, in the script alone or on a capture."""
import functools
import random
import statistics
import struct
import tempfile

from hosts import Failed, Link, run
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
    return 1 if o.quick else min(o.rounds, 3)


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


CALLBACKS = """
local tf = require "tunfilter"
for i = 1, %d do
   tf.on_packet(%s, function(pkt) if pkt.udp.dport == i then return tf.drop end end)
end
"""


def callbacks(_, o):
    """bench_lua's packets are UDP to port 9, from 12345."""
    def cost(folder, count, argument):
        path = f"{folder}/rules.lua"

        def once():
            with open(path, "w", encoding="utf-8") as file:
                file.write(CALLBACKS % (count, argument))
            return float(run([f"{o.build}/tests/bench/bench_lua", path, "64", "0.3"], FOREVER)[0])
        return once

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield from medians(o, [(name, count, cost(folder, count, argument))
                               for count in ((1, 1000) if o.quick else (1, 3, 10, 30, 100, 300, 1000))
                               for name, argument in (("expressions", '"udp dst port " .. 20000 + i'), ("plain", '"udp"'))])


FLOW_RULES = """
local tf = require "tunfilter"
local first, count, start, clock = tonumber(tf.args.first), 0, 0, os.clock
tf.flow.max = 2097152
tf.on_packet(function(pkt)
   count = count + 1
   if count == first then start = clock() end
   %s
end)
tf.on_stop(function() io.stdout:write((clock() - start) / (count - first) * 1e9, "\\n") end)
"""
FLOW_BODIES = {"nothing": "", "tf.flow": "local flow = tf.flow(pkt) flow.packets = (flow.packets or 0) + 1"}


def write_flows(path, flows, count):
    """A capture of count packets: each flow once in some order, then all of them again."""
    order = random.Random(1)
    records = []
    for number in range(flows):
        ip = struct.pack(">BBHHHBBH4sI", 0x45, 0, 64, 0, 0, 64, 17, 0, b"\x0a\x4d\0\1", 0x0a4e0000 + (number >> 4))
        udp = struct.pack(">HHHH", 20000 + (number & 15), 9, 44, 0)
        records.append(struct.pack("<IIII", 1700000000, 0, 64, 64) + ip + udp + bytes(36))
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        while count > 0:
            if flows > 16:
                order.shuffle(records)
            some = records * max(1, 65536 // flows)
            file.write(b"".join(some))
            count -= len(some)


def flows(_, o):
    def cost(capture, script, first):
        return lambda: float(run([f"{o.build}/tunfilter", "replay", "-q", "--unsafe", "--set", f"first={first}",
                                  script, capture], FOREVER)[0])

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for name, body in FLOW_BODIES.items():
            with open(f"{folder}/{name}.lua", "w", encoding="utf-8") as file:
                file.write(FLOW_RULES % body)
        for count in (10, 1_000_000) if o.quick else (10, 100, 1000, 10_000, 100_000, 1_000_000):
            write_flows(f"{folder}/in.pcap", count, 2_000_000)
            yield from medians(o, [(name, count, cost(f"{folder}/in.pcap", f"{folder}/{name}.lua", 1_000_000))
                                   for name in FLOW_BODIES])


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
io.stdout:write(loaded * 1e3, " ", (clock() - start) / turns * 1e9, " ", found, "\\n")
tf.on_packet(function() end)
"""
LISTS = {"tf.names": ("names", "line", lambda n: f"host{n * 7919 % 10_000_019}.example{n % 97}.net"),
         "tf.nets": ("nets", "tf.ip(line)", lambda n: f"{n % 199 + 11}.{n // 199 % 250}.{n // 49750 % 250}.{n % 250}")}


@functools.lru_cache(None)
def list_figures(o, name, count):
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
        argv = [f"{o.build}/tunfilter", "check", "-q", "--unsafe", "--set", f"some={folder}/some.txt", f"{folder}/rules.lua"]
        loads, looks, found = zip(*([float(word) for word in run(argv, FOREVER)] for _ in range(times(o))))
    if not all(found):
        raise Failed(f"{name}: nothing was found in the list")
    return statistics.median(loads), statistics.median(looks)


def lists(which):
    def points(_, o):
        for name in LISTS:
            for count in (1000, 10_000, 100_000, 200_000, 1_000_000):
                if count <= 200_000 or name == "tf.names":
                    yield name, count, list_figures(o, name, count)[which]
    return points


SWEEPS = {
    "size": Sweep("Packets by size", "bytes of a packet", "k/s", sizes),
    "bursts": Sweep("Lost of a burst, a queue of 4,096", "packets at once", "%", bursts),
    "callbacks": Sweep("Callbacks, each on another expression, and on one", "callbacks", "ns a packet", callbacks),
    "flows": Sweep("A table of flows, on a capture", "flows", "ns a packet", flows),
    "lookup": Sweep("Lists: a look-up", "entries", "ns", lists(1)),
    "load": Sweep("Lists: loading", "entries", "ms", lists(0)),
}
QUICK = ["callbacks", "flows"]
LIVE = ["size", "bursts"]
