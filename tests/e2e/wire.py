"""Packets into and out of the filter's two devices, byte for byte.

`tunfilter lab RULES.lua -- python3 wire.py` runs main() inside the lab, as the left host's command.
It opens a packet socket on each host's one device and hands both to the test over its standard
input, a socket pair. A socket stays in the namespace where it was opened, so from then on the test
itself sends and receives: what it sends on a device is what the filter reads from that device, and
what it receives there is what the filter wrote to it. The lab ends when the test closes its end.

`python3 wire.py tunfilter run RULES.lua --left tun,netns={left} …` does the same for `run`, with
two hosts of its own making: {left} and {right} become pids of processes in their namespaces.
"""

import array
import ctypes
import errno
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

ETH_P_ALL, ARPHRD_ETHER = 0x0003, 1
SOL_PACKET, PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 8, 15, 23
VNET_HDR = struct.Struct("=BBHHHH")  # virtio_net_hdr
NEEDS_CSUM, GSO_UDP_L4 = 1, 5
FIN_PSH, CWR = 0x09, 0x80
SO_RCVBUFFORCE = 33
TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 0x10, 0x40
CLONE_NEWNET = 0x40000000
# Where the hosts' network namespaces are. In a lab its own process, pid 1 there, keeps them open.
NAMESPACES = {"left": "/proc/1/fd/100", "right": "/proc/1/fd/101"}


def checksum(data):
    """The Internet checksum of bytes; 0 where it is in them and right."""
    words = struct.unpack("!%dH" % ((len(data) + 1) // 2), data + b"\0" * (len(data) % 2))
    total = sum(words)
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


def wire_packets(received, ethernet):
    """The packets as a network would carry them, of what a packet socket with PACKET_VNET_HDR gave.

    The filter may have handed the kernel packets without a checksum, and several as one large packet,
    which the kernel cuts where the host is not its end.
    """
    flags, gso, _, size, start, offset = VNET_HDR.unpack_from(received)
    data = received[VNET_HDR.size :]
    if not flags & NEEDS_CSUM:
        assert not gso
        return [data]
    if not gso:
        field = start + offset
        value = checksum(data[start:])  # with the pseudo-header's sum, which is in the field
        return [data[:field] + struct.pack("!H", value or 0xffff) + data[field + 2 :]]
    udp = gso == GSO_UDP_L4
    header = start + (8 if udp else data[start + 12] >> 4 << 2)
    network = 14 if ethernet else 0
    while ethernet and data[network - 2 : network] in (b"\x81\0", b"\x88\xa8"):
        network += 4
    packets = []
    for at in range(header, len(data), size):
        payload = data[at : at + size]
        head = bytearray(data[:header])
        transport_len = header - start + len(payload)
        if head[network] >> 4 == 6:
            struct.pack_into("!H", head, network + 4, transport_len)
            pseudo = head[network + 8 : start]
        else:
            number, = struct.unpack_from("!H", head, network + 4)
            struct.pack_into("!HH", head, network + 2, 20 + transport_len, (number + len(packets)) & 0xffff)
            struct.pack_into("!H", head, network + 10, 0)
            struct.pack_into("!H", head, network + 10, checksum(bytes(head[network:start])))
            pseudo = head[network + 12 : start]
        if udp:
            struct.pack_into("!H", head, start + 4, transport_len)
        else:
            sequence, = struct.unpack_from("!I", head, start + 4)
            struct.pack_into("!I", head, start + 4, (sequence + at - header) & 0xffffffff)
            head[start + 13] &= ~CWR if packets else 0xff
            head[start + 13] &= ~FIN_PSH if at + size < len(data) else 0xff
        struct.pack_into("!H", head, start + offset, 0)
        value = checksum(bytes(pseudo) + struct.pack("!II", transport_len, 17 if udp else 6) + bytes(head[start:]) + payload)
        struct.pack_into("!H", head, start + offset, value or 0xffff)
        packets.append(bytes(head) + payload)
    return packets


def without_checksum(packet):
    """An IPv4 packet as a socket's kernel hands it to a device that computes checksums, with its virtio_net_hdr."""
    start, tcp = (packet[0] & 15) * 4, packet[9] == 6
    field = start + (16 if tcp else 6)
    pseudo = checksum(packet[12:20] + struct.pack("!HH", packet[9], len(packet) - start)) ^ 0xffff
    return (VNET_HDR.pack(NEEDS_CSUM, 0, 0, 0, start, field - start) +
            packet[:field] + struct.pack("!H", pseudo) + packet[field + 2 :])


class Port:
    """One host's device: send() gives packets to the filter, receive() takes what it wrote."""

    def __init__(self, sock, name):
        self.socket = sock
        self.name = name
        self.waiting = []  # that came as one large packet with others
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        except PermissionError:  # not root: the system's limit, enough for a window of move()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)

    def send(self, packet, partial=False):
        """partial: a whole IPv4 packet with UDP or TCP, as from a socket: without the checksum, which is for the filter."""
        packet = without_checksum(bytes(packet)) if partial else bytes(VNET_HDR.size) + bytes(packet)
        try:
            self.socket.send(packet)
        except OSError as error:
            if error.errno != errno.ENETDOWN:
                raise
            self.socket.send(packet)  # said once of a device that was down since the last call

    def receive_one(self, timeout):
        """The next packet that the filter wrote to this device, or None after timeout seconds."""
        if self.waiting:
            return self.waiting.pop(0)
        if not select.select([self.socket], [], [], timeout)[0]:
            return None
        try:
            data, ancillary, _, address = self.socket.recvmsg(70000, 256)
        except OSError as error:
            if error.errno != errno.ENETDOWN:
                raise
            return self.receive_one(timeout)
        self.waiting = wire_packets(data, address[3] == ARPHRD_ETHER)
        for level, kind, value in ancillary:
            if level == SOL_PACKET and kind == PACKET_AUXDATA:
                status, *_, tci, tpid = struct.unpack("=IIIHHHH", value[:20])
                if status & TP_STATUS_VLAN_VALID:  # the kernel took the tag out of the frame
                    if not status & TP_STATUS_VLAN_TPID_VALID:
                        tpid = 0x8100
                    tag = struct.pack("!HH", tpid, tci)
                    self.waiting = [packet[:12] + tag + packet[12:] for packet in self.waiting]
        return self.waiting.pop(0)

    def receive(self, count, timeout=5.0):
        """Up to count packets, in order; fewer if no further one comes within timeout seconds."""
        packets = []
        while len(packets) < count:
            packet = self.receive_one(timeout)
            if packet is None:
                break
            packets.append(packet)
        return packets

    def drain(self, quiet=0):
        """Forgets what came so far, and what comes until nothing does for so many seconds."""
        while self.receive_one(quiet) is not None:
            pass

    def nothing(self, seconds=0.2):
        """True if the filter writes nothing to this device for so long."""
        return self.receive_one(seconds) is None


def move(packets, source, target, window=64):
    """Sends packets at one port in windows that no queue overflows on, and returns what came at the other."""
    came = []
    for start in range(0, len(packets), window):
        part = packets[start : start + window]
        for packet in part:
            source.send(packet)
        came += target.receive(len(part))
    return came


class Wire:
    """The test's end: ports .left and .right, and commands on either host."""

    def __init__(self, control):
        self.control = control
        self.reader = control.makefile("rb")
        fds = array.array("i")
        control.settimeout(60)
        data, ancillary, _, _ = control.recvmsg(4096, socket.CMSG_SPACE(2 * fds.itemsize))
        if not data:
            raise RuntimeError("the lab ended before its first packet")
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(value)
        hello = json.loads(data)
        self.pid = hello["pid"]  # of the program; None in a lab
        self.left, self.right = (Port(socket.socket(fileno=fd), name)
                                 for fd, name in zip(fds, hello["names"]))

    def run(self, side, *argv):
        """Runs a command on a host to its end: (status, what it wrote on both outputs)."""
        answer = self.ask({"side": side, "argv": argv})
        return answer["status"], answer["output"]

    def wait(self):
        """Waits until the program ends by itself."""
        self.ask({"wait": True})

    def ask(self, request):
        self.control.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(self.reader.readline())

    def close(self):
        for port in (self.left, self.right):
            port.socket.close()
        self.reader.close()
        self.control.close()


def call(function, *arguments):
    """Calls a function of the C library that answers 0, or raises what errno says."""
    if getattr(ctypes.CDLL(None, use_errno=True), function)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), function)


def enter(side):
    """Moves this process into a host's network namespace."""
    fd = os.open(NAMESPACES[side], os.O_RDONLY)
    call("setns", fd, CLONE_NEWNET)
    os.close(fd)


def device_name():
    """The one device here that is not loopback."""
    return [name for _, name in socket.if_nameindex() if name != "lo"][0]


def open_port(side):
    """(packet socket, name) of a host's device."""
    enter(side)
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.bind((device_name(), ETH_P_ALL))
    return sock, device_name()


def serve(control, program=None):
    """Hands the ports over and does what the test asks for, until it closes its end."""
    ports = [open_port("right"), open_port("left")][::-1]
    fds = array.array("i", [sock.fileno() for sock, _ in ports])
    control.sendmsg([json.dumps({"pid": program and program.pid, "names": [name for _, name in ports]}).encode()],
                    [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    for sock, _ in ports:
        sock.close()
    for line in control.makefile("rb"):
        request = json.loads(line)
        if "wait" in request:
            answer = {"status": program.wait()}
        else:
            enter(request["side"])
            done = subprocess.run(request["argv"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, check=False)
            answer = {"status": done.returncode, "output": done.stdout.decode(errors="replace")}
        control.sendall(json.dumps(answer).encode() + b"\n")


def make_host(side):
    """A process in a network namespace of its own, which lives as long as this one; its pid."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        call("prctl", 1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        call("unshare", CLONE_NEWNET)
        for which in ("all", "default"):  # no router solicitations and the like
            with open("/proc/sys/net/ipv6/conf/%s/disable_ipv6" % which, "w", encoding="ascii") as setting:
                setting.write("1")
        os.write(writer, b"!")
        while True:
            signal.pause()
    assert os.read(reader, 1)
    NAMESPACES[side] = "/proc/%d/ns/net" % pid
    return pid


def wait_for_devices(program):
    """Waits until both hosts have their device, or the program has ended."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    for side in NAMESPACES:
        enter(side)
        while len(socket.if_nameindex()) < 2 and program.poll() is None:
            time.sleep(0.01)
    call("setns", here, CLONE_NEWNET)


def main(argv):
    control = socket.socket(fileno=os.dup(0))
    if not argv:
        return serve(control)
    pids = {side: make_host(side) for side in NAMESPACES}
    program = subprocess.Popen([word.format(**pids) for word in argv], stdin=subprocess.DEVNULL)
    wait_for_devices(program)
    if program.poll() is None:
        serve(control, program)
        if program.poll() is None:
            program.terminate()
    return program.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
