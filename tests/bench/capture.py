"""The same work on a capture: from one file to another, by `tunfilter replay` and by others."""
import os
import struct
import tempfile
import time

from candidates import HERE, Candidate, scapy_python
from hosts import TROUBLE, run

PACKETS = 1_000_000
EXPRESSION = "udp and dst net 10.0.0.0/8 and not dst port 53"  # what look.lua lets through of these
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


class Program(Candidate):
    """argv(build, source, out, folder) selects packets from a file into another."""

    def __init__(self, name, title, argv, ours=False):
        super().__init__(name, title)
        self.argv, self.ours = argv, ours


def replay(*more, suffix=""):
    return lambda build, source, out, folder: [f"{build}/tunfilter", "replay", "-q", f"{HERE}/look.lua", source,
                                               out + suffix, *(word.replace("%", folder) for word in more)]


PROGRAMS = [
    Program("replay", "tunfilter replay, pcap to pcap", replay(), True),
    Program("replay-ng", "tunfilter replay, to pcapng", replay(suffix="ng"), True),
    Program("replay-noted", "tunfilter replay, with --capture", replay("--capture", "%/noted.pcapng"), True),
    Program("tcpdump", "tcpdump -r IN -w OUT EXPRESSION",
            lambda build, source, out, folder: ["tcpdump", "-r", source, "-w", out, EXPRESSION]),
    Program("scapy-file", "scapy's raw reader and writer",
            lambda build, source, out, folder: [scapy_python(), "-c", SCAPY, source, out]),
]


def write_capture(path, count):
    """A pcap of UDP datagrams, one in 16 of them to port 53."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for number in range(count):
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 64, number & 0xFFFF, 0, 64, 17, 0, b"\x0a\x4d\0\1", b"\x0a\x4d\0\2")
            udp = struct.pack(">HHHH", 40000, 9 if number % 16 else 53, 44, 0)
            file.write(struct.pack("<IIII", 1700000000 + number // 1000000, number % 1000000, 64, 64) + ip + udp + bytes(36))


def measure(o, results, progress):
    """Thousands of packets a second, start and end of the program in it; all write as many bytes."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        source, out = f"{folder}/in.pcap", f"{folder}/out.pcap"
        write_capture(source, PACKETS)
        sizes = {}
        for turn in range(o.rounds):
            for program in PROGRAMS:
                progress.say(f"round {turn + 1} of {o.rounds}: capture, {program.name}")
                if program.name in results.left_out:
                    continue
                begun = time.monotonic()
                try:
                    run(map(str, program.argv(o.build, source, out, folder)), 120)
                except TROUBLE as error:
                    results.left_out[program.name] = str(error)
                    continue
                results.add(turn, program.name, {"capture": PACKETS / (time.monotonic() - begun) / 1e3})
                if program.name != "replay-ng":
                    sizes[program.name] = os.path.getsize(out)
        if len(set(sizes.values())) > 1:
            results.failures.append(f"capture: they did not write the same: bytes {sizes}")
