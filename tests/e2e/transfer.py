"""A TCP transfer of so many bytes, for hosts of tests: both ends by themselves, and what has to arrive.

python3 transfer.py serve PORT BYTES       waits for one connection, and sends
python3 transfer.py serve_until PORT FILE  sends until the file is there, and prints what fetch has to print
python3 transfer.py fetch ADDRESS PORT     prints the SHA-256 of what comes, and how much it was
"""

import functools
import hashlib
import itertools
import os
import socket
import sys
import time


def blocks(count):
    """So many bytes, always the same, in pieces that all differ."""
    seed = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(2048))
    for number in range(0, count, len(seed)):
        yield (b"%032d" % number + seed[32:])[: count - number]


@functools.lru_cache
def digest(count):
    """What fetch prints when all of it came."""
    sha = hashlib.sha256()
    for block in blocks(count):
        sha.update(block)
    return "%s %d\n" % (sha.hexdigest(), count)


def accept(port):
    if socket.has_dualstack_ipv6():
        server = socket.create_server(("", int(port)), family=socket.AF_INET6, dualstack_ipv6=True)
    else:
        server = socket.create_server(("", int(port)))
    server.settimeout(120)
    connection, _ = server.accept()
    connection.settimeout(120)
    return connection


def serve(port, count):
    with accept(port) as connection:
        for block in blocks(int(count)):
            connection.sendall(block)


def serve_until(port, path):
    sha, count = hashlib.sha256(), 0
    with accept(port) as connection:
        for block in itertools.takewhile(lambda _: not os.path.exists(path), blocks(1 << 50)):
            connection.sendall(block)
            sha.update(block)
            count += len(block)
    sys.stdout.write("%s %d\n" % (sha.hexdigest(), count))  # one write: others have the same output


def fetch(address, port):
    deadline = time.monotonic() + 60
    while True:
        try:
            connection = socket.create_connection((address, int(port)), timeout=120)
            break
        except ConnectionRefusedError:  # it has not begun to listen
            assert time.monotonic() < deadline
            time.sleep(0.05)
    sha, count = hashlib.sha256(), 0
    while piece := connection.recv(1 << 20):
        sha.update(piece)
        count += len(piece)
    sys.stdout.write("%s %d\n" % (sha.hexdigest(), count))  # one write: others have the same output


if __name__ == "__main__":
    {"serve": serve, "serve_until": serve_until, "fetch": fetch}[sys.argv[1]](*sys.argv[2:])
