"""Capture files for tests: made by scapy, read back by scapy (bytes) and tshark (all else)."""

import re
import subprocess
from collections import namedtuple
from decimal import Decimal

from scapy.utils import RawPcapNgReader, RawPcapReader, RawPcapWriter

import harness

ETHERNET, RAW, SLL, SLL2, NULL, LOOP, IPV4, IPV6 = 1, 101, 113, 276, 0, 108, 228, 229
WIFI, PPP, USER = 105, 9, 147

# stamp: nanoseconds; length: on the wire; interface: its number; encap: what tshark calls its link type
Record = namedtuple("Record", "data stamp length interface encap")


def write(path, packets, linktype=RAW, start=1700000000, step=0.001, endianness="<", nano=False, lengths=()):
    """A pcap of raw packets, `step` seconds apart from `start` on; their lengths on the wire, if others."""
    writer = RawPcapWriter(str(path), linktype=linktype, endianness=endianness, nano=nano)
    writer.write_header(None)
    unit = 10**9 if nano else 10**6
    for number, packet in enumerate(packets):
        ticks = round((Decimal(start) + Decimal(str(step)) * number) * unit)
        wire = lengths[number] if number < len(lengths) else len(packet)
        writer._write_packet(bytes(packet), sec=ticks // unit, usec=ticks % unit, caplen=len(packet), wirelen=wire)
    writer.close()
    path.chmod(0o644)
    return path


def tshark(path, *fields, only=None):
    """The packets' fields, a list each. What it warns of fails the test."""
    argv = ["tshark", "-n", "-r", path, "-T", "fields", "-E", "occurrence=a", "-E", "separator=/t"]
    for field in fields:
        argv += ["-e", field]
    done = subprocess.run([*argv, *(["-Y", only] if only else [])], capture_output=True, text=True, check=False)
    said = "\n".join(line for line in done.stderr.splitlines() if "Running as user" not in line)
    assert done.returncode == 0 and not said, said
    return [line.split("\t") for line in done.stdout.splitlines()]


def raw(path):
    """The packets' bytes."""
    with open(path, "rb") as file:
        reader = RawPcapNgReader if file.read(4) == b"\n\r\r\n" else RawPcapReader
    packets = reader(str(path))
    try:
        return [data for data, _ in packets]
    finally:
        packets.close()


def read(path):
    """All of a capture, which has to be without fault."""
    fields = tshark(path, "frame.time_epoch", "frame.len", "frame.cap_len", "frame.interface_id", "frame.encap_type")
    datas = raw(path)
    assert len(fields) == len(datas)
    records = []
    for (stamp, length, captured, interface, encap), data in zip(fields, datas):
        assert int(captured) == len(data) and re.fullmatch(r"\d+\.\d{9}", stamp)
        records.append(Record(data, int(Decimal(stamp) * 10**9), int(length), int(interface or 0), encap))
    said = subprocess.run(["capinfos", "-c", "-M", path], capture_output=True, text=True, check=True)
    assert not said.stderr and int(said.stdout.split()[-1]) == len(records), said
    return records


def replay(place, rules, source, out, *options, status=0, errors=False, **how):
    """Runs replay to its end; the CompletedProcess. Messages of errors go with a status, or are announced."""
    script = rules if hasattr(rules, "read_text") else place.script(rules)
    done = harness.run(place, "replay", script, source, *([out] if out else []), *options, **how)
    assert done.returncode == status, done.stderr
    assert status or errors or "error: " not in done.stderr, done.stderr
    return done


def table(done):
    """The table of counters that a run ended with, which adds up."""
    found = harness.tables(done.stderr)
    assert len(found) == 1, done.stderr
    harness.check_sums(found[0])
    return found[0]
