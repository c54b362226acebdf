"""Two hosts, each a network namespace with one TUN device, whose packets go to and come from datagram sockets.

`hosts.py LEFT RIGHT MTU` is given two connected sockets as file descriptors, prints where its namespaces are, and
carries packets until it is killed; with it the namespaces go.
"""

import ctypes
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import sys

CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
ADDRESSES = {"left": ("10.77.0.1", "fd77::1"), "right": ("10.77.0.2", "fd77::2")}
BURST = 64  # packets of one direction at a time


class Hosts:
    """The test's end: .run(side, …) is a command on a host, .start(side, …) one that goes on."""

    def __init__(self, left, right, mtu=1500):
        fds = [left.fileno(), right.fileno()]
        self.process = subprocess.Popen([sys.executable, __file__, *map(str, fds), str(mtu)], stdout=subprocess.PIPE,
                                        stdin=subprocess.DEVNULL, pass_fds=fds, text=True)
        line = self.process.stdout.readline()
        assert line, "no hosts: %s" % self.process.wait()
        self.where = json.loads(line)

    def argv(self, side, argv):
        user = [] if os.geteuid() == 0 else ["--user=/proc/%d/ns/user" % self.process.pid, "--preserve-credentials"]
        return ["nsenter", *user, "--net=/proc/%d/fd/%d" % (self.process.pid, self.where[side]), *map(str, argv)]

    def run(self, side, *argv, timeout=120):
        return subprocess.run(self.argv(side, argv), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=timeout, check=False)

    def start(self, side, *argv):
        return subprocess.Popen(self.argv(side, argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def new_namespace(flags):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags):
        raise OSError(ctypes.get_errno(), "unshare")
    if flags & CLONE_NEWUSER:
        with open("/proc/self/uid_map", "w", encoding="ascii") as file:
            file.write("0 %d 1" % OWNER)


def make_host(side, mtu):
    """In a namespace of its own, in which this process is then: the device, and the namespace."""
    new_namespace(CLONE_NEWNET)
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", side.encode(), IFF_TUN | IFF_NO_PI))
    four, six = ADDRESSES[side]
    for words in ("link set lo up", "link set %s addrgenmode none" % side, "link set %s mtu %d txqueuelen 2000 up" % (side, mtu),
                  "addr add %s/24 dev %s" % (four, side), "addr add %s/64 dev %s nodad" % (six, side)):
        subprocess.run(["ip", *words.split()], check=True)
    return tun, os.open("/proc/self/ns/net", os.O_RDONLY)


def carry(read, write):
    """Some packets of one direction."""
    for _ in range(BURST):
        try:
            packet = read()
        except BlockingIOError:
            return
        except ConnectionRefusedError:  # the filter has ended
            continue
        try:
            write(packet)
        except (BlockingIOError, ConnectionRefusedError, OSError):
            pass  # a full queue loses packets, as queues do


def main():
    mtu = int(sys.argv[3])
    sockets = [socket.socket(fileno=int(fd)) for fd in sys.argv[1:3]]
    if OWNER:
        new_namespace(CLONE_NEWUSER)
    (left, left_space), (right, right_space) = [make_host(side, mtu) for side in ADDRESSES]
    print(json.dumps({"left": left_space, "right": right_space}), flush=True)
    poll = select.epoll()
    moves = {}
    for tun, sock in ((left, sockets[0]), (right, sockets[1])):
        sock.setblocking(False)
        moves[tun] = (lambda tun=tun: os.read(tun, 70000), sock.send)
        moves[sock.fileno()] = (lambda sock=sock: sock.recv(70000), lambda packet, tun=tun: os.write(tun, packet))
    for fd in moves:
        poll.register(fd, select.EPOLLIN)
    while True:
        for fd, _ in poll.poll():
            carry(*moves[fd])


OWNER = os.geteuid()
if __name__ == "__main__":
    main()
