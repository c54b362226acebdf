"""A reference: two TUN devices joined by scapy's own bridge.

usage: scapy_bridge.py LEFT-PID ADDRESS RIGHT-PID ADDRESS [MTU [QUEUE]]

Opens a device in the network namespace of each process, prints "ready", and forwards until a signal
ends it. Every packet becomes a scapy packet on its way, as it does for whoever filters with scapy.
"""
import ctypes
import os
import subprocess
import sys

from scapy.layers.tuntap import TunTapInterface
from scapy.sendrecv import bridge_and_sniff

CLONE_NEWNET = 0x40000000


def open_side(pid, address, mtu, queue):
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(namespace)
    tun = TunTapInterface("bench", mode_tun=True)
    subprocess.run(["ip", "link", "set", "bench", "mtu", mtu, "txqueuelen", queue, "up"], check=True)
    subprocess.run(["ip", "address", "add", f"{address}/24", "dev", "bench"], check=True)
    return tun


def main():
    left_pid, left, right_pid, right, *rest = sys.argv[1:]
    mtu, queue = (rest + ["1500", "4096"][len(rest):])
    sides = [open_side(left_pid, left, mtu, queue), open_side(right_pid, right, mtu, queue)]
    print("ready", flush=True)
    bridge_and_sniff(*sides, store=False)


if __name__ == "__main__":
    main()
