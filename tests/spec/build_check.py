"""Reads packets, "LINK hex" a line, and prints what tshark says of them, as a Lua table."""
import os
import shutil
import struct
import subprocess
import sys
import tempfile

LINKS = {"IP": 101, "ETHERNET": 1}
BAD = "ip.checksum.status==0 || tcp.checksum.status==0 || udp.checksum.status==0 || icmp.checksum.status==0" \
      " || icmpv6.checksum.status==0"
CHECKS = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]


def tshark(path, *more):
    argv = ["tshark", "-n", "-r", path, *CHECKS, "-T", "fields", "-e", "frame.number", *more]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()


if not shutil.which("tshark"):
    print("return { tshark = false }")
    sys.exit()
packets, bad = 0, []
lines = [line.split() for line in open(sys.argv[1], encoding="ascii")]
with tempfile.TemporaryDirectory() as folder:
    for link, number in LINKS.items():
        path = os.path.join(folder, link)
        mine = [bytes.fromhex(data) for name, data in lines if name == link]
        with open(path, "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 262144, number))
            for data in mine:
                file.write(struct.pack("<IIII", 0, 0, len(data), len(data)) + data)
        packets += len(tshark(path))
        bad += [mine[int(i) - 1].hex() for i in tshark(path, "-Y", BAD)]
print('return { tshark = true, packets = %d, bad = "%s" }' % (packets, " ".join(bad)))
