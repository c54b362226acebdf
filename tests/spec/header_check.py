"""Reads IPv4 and IPv6 TCP packets in hex, one a line; prints what scapy reads, as a Lua table.

{ options = { name = … }, good = whether lengths and checksums are what scapy computes }
"""
import logging
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import IP, TCP, IPv6  # noqa: E402

NAMES = {"MSS": "mss", "WScale": "wscale", "SAckOK": "sack_ok", "Timestamp": "timestamp", "SAck": "sack"}
print("return {")
for line in open(sys.argv[1], encoding="ascii"):
    raw = bytes.fromhex(line)
    cls = IP if raw[0] >> 4 == 4 else IPv6
    packet = cls(raw)
    fresh = cls(raw)
    if cls is IP:
        del fresh.chksum, fresh.len
    else:
        del fresh.plen
    del fresh[TCP].chksum, fresh[TCP].dataofs
    rows = []
    for name, value in packet[TCP].options:
        if name == "SAckOK":
            value = "true"
        elif name == "Timestamp":
            value = "{ val = %d, ecr = %d }" % value
        elif name == "SAck":
            value = "{ " + ", ".join("{ %d, %d }" % value[i:i + 2] for i in range(0, len(value), 2)) + " }"
        if name in NAMES:
            rows.append(f"{NAMES[name]} = {value}")
        elif name not in ("NOP", "EOL"):
            rows.append(f'other = "{name}"')
    good = "true" if bytes(fresh) == raw else "false"
    print("{ options = { %s }, good = %s, payload = %d }," % (", ".join(rows), good, len(bytes(packet[TCP].payload))))
print("}")
