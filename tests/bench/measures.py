"""What is measured of a candidate: each function takes a link and gives figures by name.

A figure that a candidate cannot have (the processor time of a forwarder that is no process) is None.
"""
import os
import time

from hosts import ECHO, FLOWS, RIGHT, SINK, TCP, Failed, Link

SMALL = 64        # bytes of an IPv4 packet
BURST = 2048      # packets sent at once
PACED = 200_000   # packets a second that every candidate but scapy carries on one processor
SETTLE = 3        # seconds without a packet after which nothing is left to do
PATIENCE = 10     # seconds that a step may take longer than it has to


class Figure:
    """How a figure is shown. Fewest digits that tell candidates apart; up: more is better."""

    def __init__(self, title, unit, up, digits=2):
        self.title, self.unit, self.up, self.digits = title, unit, up, digits

    def text(self, value):
        return "-" if value is None else f"{value:,.{self.digits}f}"


FIGURES = {
    "tcp1": Figure("TCP, one stream", "Gbit/s", True),
    "tcp4": Figure("TCP, four streams", "Gbit/s", True),
    "both": Figure("TCP in both directions, together", "Gbit/s", True),
    "fair": Figure("TCP in both directions, the slower one", "%", True, 0),
    "udp": Figure("64-byte packets, one flow", "k/s", True, 0),
    "udp_cpu": Figure("Processor time a 64-byte packet", "ns", False, 0),
    "udp64": Figure("64-byte packets, 64 flows mixed", "k/s", True, 0),
    "udp8": Figure("64-byte packets, 8 flows", "k/s", True, 0),
    "ping": Figure("Ping-pong, half", "µs", False, 1),
    "ping99": Figure("Ping-pong, 99%", "µs", False, 1),
    "loaded": Figure("Ping-pong beside a TCP stream, half", "µs", False, 1),
    "loaded99": Figure("Ping-pong beside a TCP stream, 99%", "µs", False, 1),
    "burst": Figure(f"Lost of {BURST:,} sent at once", "packets", False, 0),
    "paced": Figure(f"Lost at {PACED // 1000} k/s, 8 flows", "‰", False, 2),
    "start": Figure("Start to first packet", "ms", False, 1),
    "idle": Figure("Processor time when idle", "µs a second", False, 0),
    "memory": Figure("Memory, after all this", "MB", False, 1),
    "capture": Figure("64-byte packets from a file to a file", "k/s", True, 0),
}


def streams(count):
    def measure(link, o):
        patience = o.warmup + o.seconds + PATIENCE
        with link.traffic(link.right, "receive", "-", TCP, count, o.warmup, o.seconds).ready() as receiver, \
                link.traffic(link.left, "send", RIGHT, TCP, count, patience):
            return {f"tcp{count}": gigabits(receiver, patience)}
    return measure


def gigabits(receiver, patience):
    received, seconds = map(float, receiver.output(patience))
    return received * 8 / seconds / 1e9


def both(link, o):
    """A stream in each direction: what they bring together, and the part of the slower one."""
    patience = o.warmup + o.seconds + PATIENCE
    with link.traffic(link.right, "receive", "-", TCP, 1, o.warmup, o.seconds).ready() as right, \
            link.traffic(link.right, "send", "-", TCP + 1, 1, patience).ready(), \
            link.traffic(link.left, "send", RIGHT, TCP, 1, patience), \
            link.traffic(link.left, "receive", RIGHT, TCP + 1, 1, o.warmup, o.seconds) as left:
        rates = [gigabits(receiver, patience) for receiver in (right, left)]
    return {"both": sum(rates), "fair": min(rates) * 100 / sum(rates)}


def flood(link, seconds, flows=1, size=SMALL, rate=0, packets=0, to=RIGHT):
    """Sends datagrams: packets sent, packets that arrived (at all, where their number or rate is
    given; by the end of sending otherwise), seconds, the forwarder's processor time."""
    arrived, spent, start = link.right.datagrams(), link.processor_time(), time.monotonic()
    with link.traffic(link.left, "flood", to, SINK, size, seconds, flows, rate, packets,
                      pin=max(os.sched_getaffinity(0))) as sender:
        sent = int(sender.output(seconds + PATIENCE)[0])
    took, now = time.monotonic() - start, link.right.datagrams()
    spent = None if spent is None else link.processor_time() - spent
    total = settled(link, now)
    return sent, (total if packets or rate else now) - arrived, took, spent


def settled(link, now):
    """Waits until what is queued has arrived, now datagrams so far: how many there are then."""
    for _ in range(200):
        time.sleep(0.05)
        before, now = now, link.right.datagrams()
        if now == before:
            break
    return now


def packets(name, flows):
    def measure(link, o):
        flood(link, o.warmup / 2, flows)
        _, arrived, seconds, spent = flood(link, o.seconds, flows)
        found = {name: arrived / seconds / 1e3}
        if name == "udp":
            found["udp_cpu"] = spent * 1e9 / arrived if spent is not None and arrived else None
        return found
    return measure


def paced(link, o):
    sent, arrived, _, _ = flood(link, o.seconds, 8, rate=PACED)
    return {"paced": (sent - arrived) * 1000 / sent}


def burst(link, o):
    sent, arrived, _, _ = flood(link, 5, packets=BURST)
    return {"burst": sent - arrived}


def ping(link, seconds):
    with link.traffic(link.left, "ping", RIGHT, ECHO, SMALL, seconds) as process:
        count, _, half, most = map(int, process.output(seconds + PATIENCE))
    if count == 0:
        raise Failed("no answer came back")
    return half / 1e3, most / 1e3


def idle_ping(link, o):
    return dict(zip(("ping", "ping99"), ping(link, o.seconds)))


def loaded_ping(link, o):
    with link.traffic(link.right, "receive", "-", TCP, 1, 0, o.warmup + o.seconds + PATIENCE).ready(), \
            link.traffic(link.left, "send", RIGHT, TCP, 1, o.warmup + o.seconds + PATIENCE):
        time.sleep(o.warmup)
        return dict(zip(("loaded", "loaded99"), ping(link, max(o.seconds, 0.5))))


def idle(link, o):
    time.sleep(max(0.2, link.used + SETTLE - time.monotonic()))
    spent, start = link.processor_time(), time.monotonic()
    time.sleep(o.seconds)
    took = time.monotonic() - start
    return {"idle": None if spent is None else (link.processor_time() - spent) / took * 1e6}


def start(link, o):
    """A second one is started, between new hosts."""
    if not link.process:
        return {"start": None}
    with Link(link.candidate, link.build, link.mtu, wait=False) as other:
        with other.left.socket() as near, other.right.socket() as far:
            far.bind(("0.0.0.0", 9))
            far.setblocking(False)
            begun = time.monotonic()
            other.start()
            while time.monotonic() < begun + PATIENCE:
                try:
                    near.sendto(b"first", (RIGHT, 9))
                except OSError:  # no network yet
                    pass
                try:
                    far.recv(16)
                    return {"start": (time.monotonic() - begun) * 1e3}
                except BlockingIOError:
                    time.sleep(0.0002)
            other.alive()
    raise Failed(f"no packet came in {PATIENCE} s")


def memory(link, o):
    return {"memory": link.memory()}


# By the word that --only knows, in the order in which they are taken.
MEASURES = {
    "tcp1": streams(1),
    "tcp4": streams(4),
    "both": both,
    "udp": packets("udp", 1),
    "udp64": packets("udp64", FLOWS),
    "udp8": packets("udp8", 8),
    "ping": idle_ping,
    "loaded": loaded_ping,
    "burst": burst,
    "paced": paced,
    "start": start,
    "idle": idle,
    "memory": memory,
}
