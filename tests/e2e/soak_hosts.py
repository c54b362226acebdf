"""The two hosts of a soak: all kinds of traffic at once, both ways, over links that come and go.

`tunfilter lab RULES.lua -- python3 soak_hosts.py SECONDS FLAPS` runs main() as the left host's command. It says on
standard output, in JSON, what was sent and what came.
"""

import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time

import wire

ADDRESS = {"left": "10.77.0.1", "right": "10.77.0.2"}
OTHER = {"left": "right", "right": "left"}
UDP, ECHO, TCP = 5001, 5002, 5003
HEAD = struct.Struct("!I")
ASK, MARK = b"????", b"mark"  # what a datagram brings, and what the script makes of it
BLOCK = os.urandom(1 << 16)
QUIET = 3  # seconds from the last packet that is sent to the end of the receivers


def bound(side, kind, port):
    sock = socket.socket(socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if kind == socket.SOCK_DGRAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sock.bind((ADDRESS[side], port))
    return sock


def send_datagrams(side, end, result):
    """Numbered datagrams in bursts."""
    sock, target, number = bound(side, socket.SOCK_DGRAM, 0), (ADDRESS[OTHER[side]], UDP), 0
    while time.monotonic() < end:
        for _ in range(random.randrange(1, 12)):
            try:
                sock.sendto(ASK + HEAD.pack(number) + b"." * random.randrange(400), target)
                number += 1
            except OSError:  # the link is down
                result["refused"] = result.get("refused", 0) + 1
        time.sleep(0.002)
    result["sent"] = number


def take_datagrams(sock, end, result):
    """Which of them came, how often, and whether as the script has made them."""
    seen, last = bytearray(), -1
    result.update(came=0, twice=0, unmarked=0, late=0)
    while (left := end + QUIET - time.monotonic()) > 0:
        if not select.select([sock], [], [], left)[0]:
            break
        data = sock.recv(2048)
        number, = HEAD.unpack_from(data, len(MARK))
        if number >= len(seen):
            seen.extend(bytes(number + 10000 - len(seen)))
        result["came"] += not seen[number]
        result["twice"] += seen[number]
        result["unmarked"] += data[:4] != MARK
        result["late"] += number < last
        seen[number], last = 1, max(number, last)


def answer(sock, end):
    while (left := end + QUIET - time.monotonic()) > 0:
        if select.select([sock], [], [], left)[0]:
            data, source = sock.recvfrom(2048)
            try:
                sock.sendto(data, source)
            except OSError:
                pass


def ask(side, end, result):
    """Round trips, a hundred a connection of their own; in microseconds."""
    times, number = [], 0
    while time.monotonic() < end:
        with bound(side, socket.SOCK_DGRAM, 0) as sock:
            for _ in range(100):
                number += 1
                begin = time.monotonic_ns()
                try:
                    sock.sendto(HEAD.pack(number), (ADDRESS[OTHER[side]], ECHO))
                    while select.select([sock], [], [], 0.2)[0]:
                        if sock.recv(100) == HEAD.pack(number):
                            times.append((time.monotonic_ns() - begin) // 1000)
                            break
                except OSError:
                    pass
                time.sleep(0.002)
    times.sort()
    result.update(asked=number, answered=len(times))
    for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("longest", 1)):
        result[name] = times[min(int(len(times) * share), len(times) - 1)] if times else None


def send_stream(side, end, result):
    """One connection all the time; links that are down for a while it has to bear."""
    sock, count = None, 0
    while sock is None:
        try:
            sock = socket.create_connection((ADDRESS[OTHER[side]], TCP), timeout=60)
        except OSError:
            time.sleep(0.1)
    with sock:
        while time.monotonic() < end:
            sock.sendall(BLOCK)
            count += len(BLOCK)
        sock.shutdown(socket.SHUT_WR)
        result["stream sent"] = count
        sock.recv(1)


def take_stream(sock, result):
    sock.listen()
    connection, _ = sock.accept()
    count, wrong = 0, 0
    with connection:
        while piece := connection.recv(1 << 18):
            at = count % len(BLOCK)
            wrong += piece != (BLOCK * (len(piece) // len(BLOCK) + 2))[at : at + len(piece)]
            count += len(piece)
    result.update({"stream came": count, "stream wrong": wrong})


def host(side, end):
    """All that one host does, in a process of its own; what it found out, and what its kernel counted."""
    wire.enter(side)
    result = {}
    sinks = [bound(side, socket.SOCK_DGRAM, UDP), bound(side, socket.SOCK_DGRAM, ECHO), bound(side, socket.SOCK_STREAM, TCP)]
    threads = [threading.Thread(target=target, args=arguments, daemon=True) for target, arguments in (
        (take_datagrams, (sinks[0], end, result)), (answer, (sinks[1], end)), (take_stream, (sinks[2], result)),
        (send_datagrams, (side, end, result)), (ask, (side, end, result)), (send_stream, (side, end, result)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, end + 60 - time.monotonic()))
        result["stuck"] = result.get("stuck", 0) + thread.is_alive()
    return result


def counted(side):
    """What the kernel counted on a host: of its device, and datagrams for which a socket had no room."""
    done = subprocess.run(["ip", "-s", "-j", "link", "show", "dev", wire.device_name()], capture_output=True, check=True)
    stats = json.loads(done.stdout)[0]["stats64"]
    with open("/proc/thread-self/net/snmp", encoding="ascii") as file:
        names, values = [line.split() for line in file if line.startswith("Udp:")]
    return {"device in": stats["rx"]["packets"], "device out": stats["tx"]["packets"], "device dropped": stats["tx"]["dropped"],
            "no room": int(dict(zip(names, values))["RcvbufErrors"])}


def in_child(function, *arguments):
    """Runs it in a process of its own; a function that waits for its answer."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            os.write(writer, json.dumps(function(*arguments)).encode())
        finally:
            os._exit(0)
    os.close(writer)

    def wait():
        with os.fdopen(reader, "rb") as file:
            return json.loads(file.read() or b"null")
    return wait


def flap(side, end, every):
    """Takes the device down and up, and makes of it what no host would send."""
    wire.enter(side)
    name, count = wire.device_name(), 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind((name, wire.ETH_P_ALL))
        while time.monotonic() + every < end:
            time.sleep(every)
            subprocess.run(["ip", "link", "set", name, "down"], check=True)
            time.sleep(0.1)
            subprocess.run(["ip", "link", "set", name, "up"], check=True)
            count += 1
            for _ in range(20):
                try:
                    sock.send(b"\x45" + os.urandom(random.randrange(1, 200)))
                except OSError:
                    pass
    return count


def main(seconds, every):
    os.nice(10)  # other tests run beside this one
    end = time.monotonic() + float(seconds)
    ping = subprocess.Popen(["ping", "-q", "-i", "0.2", "-w", str(int(float(seconds))), ADDRESS["right"]],
                            stdout=subprocess.DEVNULL)
    hosts = {side: in_child(host, side, end) for side in ADDRESS}
    flaps = {side: in_child(flap, side, end - 1, float(every) * more) for side, more in (("left", 1), ("right", 1.3))} \
        if float(every) else {}
    result = {side: wait() for side, wait in hosts.items()}
    for side, wait in flaps.items():
        result[side]["flaps"] = wait()
    ping.wait()
    for side in ("right", "left"):
        wire.enter(side)
        result[side].update(counted(side))
    print("hosts: " + json.dumps(result), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
