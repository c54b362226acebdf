#!/usr/bin/env python3
"""Packets a second through tunfilter, as ratios to a plain C forwarder in the same call.

usage: bench.py BUILD [--rounds N] [--seconds S] [--packets N] [RULES.lua…]
       bench.py BUILD --replay [--rounds N] [--packets N]

BUILD is a build folder (with TF_BENCH on). Two network namespaces are joined by the reference and
by tunfilter in turn, N (5) times each; a sender on one processor sends 64-byte UDP datagrams from
left to right for S (2) seconds, and the right interface's counter says how many arrived. Then the
cost of the Lua part alone, and the resident memory over --packets (10,000,000) packets.
Needs root, for the namespaces.

With --replay: a capture of --packets (2,000,000) packets of 64 bytes through port.lua by `tunfilter
replay`, beside `tcpdump -r IN -w OUT EXPRESSION` and scapy's reader and writer on the same file. It
needs no root.
"""
import argparse
import contextlib
import os
import re
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LEFT, RIGHT = "10.77.0.1", "10.77.0.2"
SINK = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
s.bind(("0.0.0.0", 9))
print("ready", flush=True)
time.sleep(3600)
"""


@contextlib.contextmanager
def process(*argv, ready=None, **options):
    """A process that is ended at the end; waits for a line with `ready` in its output first."""
    p = subprocess.Popen(argv, text=True, stdin=subprocess.DEVNULL, **options)
    try:
        if ready:
            stream = p.stdout or p.stderr
            for line in stream:
                if ready in line:
                    break
            else:
                raise SystemExit(f"{argv[0]} ended before it was ready")
        yield p
    finally:
        p.send_signal(signal.SIGTERM)
        try:
            p.wait(5)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()


@contextlib.contextmanager
def host():
    """A network namespace, held by a process; its pid."""
    with process("unshare", "-n", "sh", "-c", "ip link set lo up; echo ready; exec sleep 3600",
                 ready="ready", stdout=subprocess.PIPE) as p:
        yield p.pid


def inside(pid, *argv):
    return ["nsenter", "-t", str(pid), "-n", *argv]


def ip(pid, words):
    subprocess.run(inside(pid, "ip", *words.split()), check=True)


def received(pid):
    """Packets that the interface bench has received in a process's namespace."""
    for line in open(f"/proc/{pid}/net/dev"):
        name, _, fields = line.partition(":")
        if name.strip() == "bench":
            return int(fields.split()[1])
    raise SystemExit("the interface is gone")


def resident(pid):
    """Resident memory in KiB, now."""
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read())[1])


@contextlib.contextmanager
def reference(build, left, right):
    with process(f"{build}/tests/bench/bench_reference", str(left), "bench", str(right), "bench",
                 ready="ready", stdout=subprocess.PIPE, preexec_fn=lambda: os.sched_setaffinity(0, {0})) as p:
        for pid, address in (left, LEFT), (right, RIGHT):
            ip(pid, "link set bench txqueuelen 2000 up")
            ip(pid, f"address add {address}/24 dev bench")
        yield p


@contextlib.contextmanager
def tunfilter(build, left, right, rules):
    with process(f"{build}/tunfilter", rules,
                 "--left", f"tun:bench,netns={left},address={LEFT}/24",
                 "--right", f"tun:bench,netns={right},address={RIGHT}/24",
                 ready="callback", stderr=subprocess.PIPE,
                 preexec_fn=lambda: os.sched_setaffinity(0, {0})) as p:
        yield p


def blast(build, left, seconds, packets=0):
    sender = min(1, os.cpu_count() - 1)
    subprocess.run(inside(left, "taskset", "-c", str(sender), f"{build}/tests/bench/bench_blast", RIGHT, "9",
                          "64", str(seconds), "1", str(packets)), check=True, stdout=subprocess.DEVNULL)


def rate(build, left, right, seconds):
    """Packets a second that arrive while the sender sends as fast as it can."""
    blast(build, left, 0.3)
    before, start = received(right), time.monotonic()
    blast(build, left, seconds)
    return (received(right) - before) / (time.monotonic() - start)


EXPRESSION = "udp and dst net 10.0.0.0/8 and not dst port 53"  # what port.lua lets through
SCAPY = """
import sys
from scapy.utils import RawPcapReader, RawPcapWriter
writer = RawPcapWriter(sys.argv[2], linktype=101)
writer.write_header(None)
for data, meta in RawPcapReader(sys.argv[1]):
    if not (data[9] == 17 and data[16] == 10 and data[22:24] == b"\\0\\65"):
        writer._write_packet(data, sec=meta.sec, usec=meta.usec, caplen=meta.caplen, wirelen=meta.wirelen)
writer.close()
"""


def write_capture(path, count):
    """A pcap of UDP datagrams, one in 16 of them to port 53."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for number in range(count):
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 64, number & 0xFFFF, 0, 64, 17, 0, b"\x0a\x4d\0\1", b"\x0a\x4d\0\2")
            udp = struct.pack(">HHHH", 40000, 9 if number % 16 else 53, 44, 0)
            file.write(struct.pack("<IIII", 1700000000 + number // 1000000, number % 1000000, 64, 64) + ip + udp + bytes(36))


def replay(o):
    with tempfile.TemporaryDirectory(prefix="tunfilter-bench-") as folder:
        source, out = f"{folder}/in.pcap", f"{folder}/out.pcap"
        count = o.packets if o.packets is not None else 2_000_000
        write_capture(source, count)
        scapy = os.environ.get("TF_PYTHON", "/usr/bin/python3")
        programs = {
            "replay": [f"{o.build}/tunfilter", "replay", "-q", f"{HERE}/port.lua", source, out],
            "replay pcapng": [f"{o.build}/tunfilter", "replay", "-q", f"{HERE}/port.lua", source, out + "ng"],
            "and --capture": [f"{o.build}/tunfilter", "replay", "-q", f"{HERE}/port.lua", source, out,
                              "--capture", f"{folder}/noted.pcapng"],
            "tcpdump": ["tcpdump", "-r", source, "-w", out, EXPRESSION],
            "scapy": [scapy, "-c", SCAPY, source, out],
        }
        print(f"{count:,} packets of 64 bytes from a file to a file: packets a second (median, least, most)")
        sizes = set()
        for name, argv in programs.items():
            rates = []
            for _ in range(1 if name == "scapy" else o.rounds):
                start = time.monotonic()
                subprocess.run(argv, check=True, stderr=subprocess.DEVNULL)
                rates.append(count / (time.monotonic() - start))
            if name != "replay pcapng":
                sizes.add(os.path.getsize(out))
            print(f"  {name:<14} {statistics.median(rates) / 1e3:8.0f} k/s  {min(rates) / 1e3:8.0f}  {max(rates) / 1e3:8.0f}")
        if len(sizes) != 1:
            raise SystemExit(f"they did not write the same: {sizes} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("build")
    parser.add_argument("rules", nargs="*", default=[f"{HERE}/pass.lua", f"{HERE}/port.lua"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--packets", type=int)
    parser.add_argument("--replay", action="store_true")
    o = parser.parse_args()
    if o.replay:
        replay(o)
        return
    if o.packets is None:
        o.packets = 10_000_000
    if os.geteuid() != 0:
        raise SystemExit("bench.py: run it as root: it makes two network namespaces")

    rates = {}
    with host() as left, host() as right, \
            process(*inside(right, sys.executable, "-c", SINK), ready="ready", stdout=subprocess.PIPE):
        for turn in range(o.rounds):
            with reference(o.build, left, right):
                base = rate(o.build, left, right, o.seconds)
            rates.setdefault("reference", []).append((base, 1.0))
            for rules in o.rules:
                with tunfilter(o.build, left, right, rules):
                    n = rate(o.build, left, right, o.seconds)
                rates.setdefault(os.path.basename(rules), []).append((n, n / base))
        print("64-byte packets a second, and the ratio to the reference of the same round (median, least, most)")
        for name, figures in rates.items():
            ratios = [r for _, r in figures]
            print(f"  {name:<14} {statistics.median(n for n, _ in figures) / 1e3:8.0f} k/s   "
                  f"{statistics.median(ratios):.2f}  {min(ratios):.2f}  {max(ratios):.2f}")

        print("Lua alone, nanoseconds a packet in batches of 64, 16, 4, 1")
        for rules in o.rules:
            costs = [subprocess.run([f"{o.build}/tests/bench/bench_lua", rules, str(size)], check=True,
                                    capture_output=True, text=True).stdout.strip() for size in (64, 16, 4, 1)]
            print(f"  {os.path.basename(rules):<14} {'  '.join(f'{c:>6}' for c in costs)}")

        if o.packets:
            with tunfilter(o.build, left, right, o.rules[-1]) as p:
                blast(o.build, left, 1)
                early = resident(p.pid)
                blast(o.build, left, 600, o.packets)
                print(f"Resident memory: {early} KiB after a second, {resident(p.pid)} KiB after "
                      f"{o.packets:,} packets sent")


if __name__ == "__main__":
    main()
