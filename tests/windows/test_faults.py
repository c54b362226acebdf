"""What goes wrong with adapters, and what a person is told; the stand-in does it on demand."""

import re

import pytest
from scapy.layers.inet import IP, UDP

import harness
import wine


def packet(number, size=100):
    return bytes(IP(src="10.77.0.1", dst="10.77.0.2", id=number & 0xFFFF) / UDP(sport=1, dport=2) / (b"%08d" % number).ljust(size, b"x"))


def end(program, timeout=60):
    program.process.wait(timeout)
    return program


def start(folder, **how):
    """A start that fails: its status and what it said."""
    with wine.Run(folder, harness.PASS, ready=False, **how) as program:
        end(program)
    return program.status, program.stderr


class TestStart:
    @pytest.mark.parametrize("fail, said", [
        ("CreateAdapter:5", r'error: left device: may not make the network adapter "left": .*"Run as administrator"'),
        ("CreateAdapter:0", r'error: left device: can\'t make the network adapter "left": wintun says: Failed in CreateAdapter'),
        ("StartSession:1247", r'error: left device: another program holds "left"'),
        ("StartSession:8", r'error: left device: can\'t begin with "left" \(rings of 8192 KiB\): .*\(error 8\)'),
    ])
    def test_that_fails(self, folder, fail, said):
        status, text = start(folder, fail=fail)
        assert status == 3 and re.search(said, text), text

    def test_opens_what_is_there(self, folder):
        with wine.Run(folder, harness.PASS, exists="left,right", fail="CreateAdapter:5") as program:
            program.left.send(packet(1))
            assert program.right.receive(1) == [packet(1)]
        assert program.status == 0, program.stderr

    def test_takes_the_first_free_names(self, folder):
        done = wine.run(folder, "run", folder.script("error('far enough')"),
                        extra={"STANDIN_EXISTS": "tunfilter0", "STANDIN_ADAPTERS": "tunfilter1=1", "STANDIN_FAIL": "StartSession:5"})
        assert done.returncode == 3 and b'"tunfilter1"' in done.stderr, done.stderr

    def test_without_any_free_name(self, folder):
        every = ",".join("tunfilter%d" % number for number in range(16))
        done = wine.run(folder, "run", folder.script(harness.PASS), extra={"STANDIN_EXISTS": every})
        assert done.returncode == 3 and b"no free tun device is left" in done.stderr, done.stderr

    def test_namespaces_are_linuxs(self, folder):
        done = wine.run(folder, "run", folder.script(harness.PASS), "--left", "tun:a,netns=blue")
        assert done.returncode == 2 and b"no network namespaces on Windows" in done.stderr, done.stderr

    def test_addresses_that_the_system_cannot_set(self, folder):
        """Wine has no function for it: said, and the run goes on."""
        with wine.Run(folder, harness.PASS, "--right", "tun:right,address=10.1.0.1/24") as program:
            program.left.send(packet(1))
            assert program.right.receive(1) == [packet(1)]
        assert program.status == 0 and "warning: device right: an address is not set: " in program.stderr


class TestLibrary:
    """What stands beside the program where wintun.dll should."""

    @staticmethod
    def run(change):
        folder = wine.Folder(standin=change is not None)
        try:
            if change is not None:
                library = folder.path / "wintun.dll"
                library.write_bytes(change(library.read_bytes()))
            return wine.run(folder, "run", folder.script(harness.PASS))
        finally:
            folder.remove()

    def test_missing(self):
        done = self.run(None)
        assert done.returncode == 3 and b"wintun.dll is missing: it was looked for in the folder of tunfilter.exe and in System32" in done.stderr

    def test_for_another_processor(self):
        def change(library):
            at = int.from_bytes(library[60:64], "little") + 4
            return library[:at] + b"\x64\xaa" + library[at + 2 :]

        done = self.run(change)
        assert done.returncode == 3 and b"wintun.dll is for ARM64, and this tunfilter.exe for x64" in done.stderr, done.stderr

    def test_no_library(self):
        done = self.run(lambda library: b"<html>not found</html>")
        assert done.returncode == 3 and b"wintun.dll is no library: the file is in bin\\amd64" in done.stderr, done.stderr

    def test_without_one_of_the_names(self):
        done = self.run(lambda library: library.replace(b"WintunSendPacket\0", b"WintunSendPackeX\0"))
        assert done.returncode == 3 and b"has no WintunSendPacket: it is older than version 0.14" in done.stderr, done.stderr


class TestRings:
    def test_a_full_one_is_counted_and_goes_on(self, folder):
        with wine.Run(folder, harness.PASS) as program:
            program.right.command("full 1")
            program.right.command("stat")  # answered: it is full by now
            assert program.right.receive_one(20)
            for number in range(10):
                program.left.send(packet(number))
            harness.wait_until(lambda: program.right.stat()["send_refused"] == 10)
            program.right.command("full 0")
            program.left.command("spurious")  # no packet: nothing is to happen
            program.right.stat()
            program.left.send(packet(11))
            assert program.right.receive(1) == [packet(11)]
        assert program.status == 0, program.stderr
        assert program.table()["lost"] == [10, 0]

    def test_a_burst_is_read_to_its_end(self, folder):
        """More than a batch holds, while the script is busy with the first; the event is set for that one only."""
        rules = """
            local tf = require "tunfilter"
            local first = true
            tf.on_packet(function()
               if first then first = false for i = 1, 1e9 do end end
            end)"""
        with wine.Run(folder, rules, "--time-limit", "0") as program:
            packets = [packet(number) for number in range(200)]  # as many as a socket of the system's holds
            program.left.send(packets[0])
            harness.wait_until(lambda: program.left.stat()["received"] == 1)
            for one in packets[1:]:
                program.left.send(one)
            assert program.right.receive(200, 30) == packets
            stat = program.left.stat()
            assert stat["received"] == 200 and stat["ring"] == 8 << 20
        assert program.status == 0, program.stderr

    def test_the_ring_is_as_large_as_the_queue(self, folder):
        with wine.Run(folder, harness.PASS, "--left", "tun:left,queue=10", "--right", "tun:right,queue=1000000") as program:
            assert (program.left.stat()["ring"], program.right.stat()["ring"]) == (0x20000, 0x4000000)

    def test_an_event_that_comes_late(self, folder):
        with wine.Run(folder, harness.PASS) as program:
            program.left.command("late 300")
            for number in range(5):
                program.left.send(packet(number))
            assert program.right.receive(5) == [packet(number) for number in range(5)]

    @pytest.mark.parametrize("command, said", [
        ("end", r"error: left device left: it was deleted"),
        ("corrupt", r"error: device left: the ring between it and us is corrupt"),
    ])
    def test_the_end_of_an_adapter(self, folder, command, said):
        with wine.Run(folder, harness.PASS) as program:
            program.left.send(packet(1))
            assert program.right.receive(1) == [packet(1)]
            program.left.command(command)
            end(program)
        assert program.status == 3 and re.search(said, program.stderr), program.stderr
        assert program.table()["forwarded"] == [1, 0]

    def test_the_end_of_the_one_that_is_written_to(self, folder):
        with wine.Run(folder, harness.PASS) as program:
            program.right.command("end")
            end(program)
        assert program.status == 3 and "right device right: it was deleted" in program.stderr, program.stderr
