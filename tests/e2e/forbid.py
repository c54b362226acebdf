"""System calls that a machine forbids, as seccomp filters: functions for subprocess's preexec_fn."""

import ctypes
import os
import platform
import struct

import pytest

LOAD, EQUAL, BITS, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NUMBER, FIRST, SECOND, THIRD = 0, 16, 24, 32  # where a call's number and arguments are (the lower half of them)
EPERM, EINVAL, EOPNOTSUPP = 1, 22, 95

CLONE_NEWUSER = 0x10000000
TUNSETOFFLOAD = 0x400454D0


def call(x86, arm):
    """A system call's number on this processor."""
    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("no system call numbers for this processor")
    return x86 if platform.machine() == "x86_64" else arm


def instruction(code, k, when=0, otherwise=0):
    """One instruction of a filter; how many are left out behind it, when a comparison holds and otherwise."""
    return struct.pack("HBBI", code, when, otherwise, k)


def installed(*program):
    """What installs a filter in a process that is about to become a program."""
    buffer = ctypes.create_string_buffer(b"".join(program))
    fprog = struct.pack("HP", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)

    def install():
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(fprog), 0, 0):
            os._exit(126)
        install.kept = buffer
    return install


def user_namespaces():
    """As containers have it: clone and unshare with CLONE_NEWUSER get EPERM."""
    return installed(
        instruction(LOAD, NUMBER),
        instruction(EQUAL, call(56, 220), 1),       # clone
        instruction(EQUAL, call(272, 97), 0, 3),    # unshare
        instruction(LOAD, FIRST),
        instruction(BITS, CLONE_NEWUSER, 0, 1),
        instruction(RETURN, ERRNO | EPERM),
        instruction(RETURN, ALLOW),
    )


def landlock():
    """As kernels that were started without it have it."""
    return installed(
        instruction(LOAD, NUMBER),
        instruction(EQUAL, 444, 0, 1),
        instruction(RETURN, ERRNO | EOPNOTSUPP),
        instruction(RETURN, ALLOW),
    )


def seccomp():
    """A kernel without filters of system calls, but for this one."""
    return installed(
        instruction(LOAD, NUMBER),
        instruction(EQUAL, call(157, 167), 0, 3),   # prctl
        instruction(LOAD, FIRST),
        instruction(EQUAL, 22, 0, 1),               # PR_SET_SECCOMP
        instruction(RETURN, ERRNO | EINVAL),
        instruction(RETURN, ALLOW),
    )


def offload(flags):
    """As older kernels: TUNSETOFFLOAD with any of these TUN_F_… gets EINVAL; None: it always does."""
    return installed(
        instruction(LOAD, NUMBER),
        instruction(EQUAL, call(16, 29), 0, 5),     # ioctl
        instruction(LOAD, SECOND),
        instruction(EQUAL, TUNSETOFFLOAD, 0, 3),
        instruction(LOAD, THIRD),
        instruction(BITS, flags, 0, 1) if flags is not None else instruction(EQUAL, 0xFFFFFFFF, 0, 0),
        instruction(RETURN, ERRNO | EINVAL),
        instruction(RETURN, ALLOW),
    )
