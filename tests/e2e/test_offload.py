"""Large packets from the kernel, which a script sees as the wire packets that they stand for."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP

import forbid
import harness
import transfer
import wire

HEADER = 'local tf = require "tunfilter"\n'
ADDRESS = {4: "10.77.0.2", 6: "fd77::2"}
MEGABYTE = 1 << 20
TRANSFER = Path(__file__).with_name("transfer.py")

# The stream repeats itself, but in no length that a packet could have.
PERIOD = 65521
SERVER = """
import socket, sys
period, count, mss = map(int, sys.argv[1:])
pattern = bytes(i * i // 7 & 255 for i in range(period))
server = socket.socket(socket.AF_INET6)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if mss:
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, mss)
server.bind(("::", 7000))
server.listen()
connection, _ = server.accept()
for at in range(0, count, period):
    connection.sendall(pattern[: count - at])
"""

# Every payload is what stands in the stream at its place, and some checksums are looked at as well.
WATCH = HEADER + """
local period, longest = 65521, tonumber(tf.args.longest)
local bytes = {}
for i = 0, 2 * period - 1 do
   local k = i % period
   bytes[i + 1] = string.char(math.floor(k * k / 7) % 256)
end
local pattern = table.concat(bytes)

-- The sum of 16-bit words from a place in the packet on, with carries.
local function sum(pkt, first, last)
   local total = 0
   for at = first, last - 1, 2 do total = total + pkt:u16(at) end
   if (last - first) % 2 == 0 then total = total + pkt:u8(last) * 256 end
   return total
end

local function checksum_is_right(pkt, link)
   local ip, checksum = pkt.ip, pkt.tcp.checksum
   local header = ip.version == 4 and 20 or 40
   local first = link + header
   local total = sum(pkt, first, link + ip.len - 1) + 6 + ip.len - header
   total = total + sum(pkt, link + (header == 20 and 12 or 8), first - 1)
   return total % 65535 == 0 and checksum == pkt:u16(first + 16)
end

local start
local seen, wrong, long, bad = 0, 0, 0, 0
tf.on_packet{ "tcp src port 7000", from = tf.right, function(pkt)
   local tcp = pkt.tcp
   if tcp.flags.syn then start = tcp.seq + 1 end
   if #pkt > longest then long = long + 1 end
   if pkt.payload == "" then return end
   seen = seen + 1
   local at = (tcp.seq - start) % 2 ^ 32 % period
   if pkt.payload ~= pattern:sub(at + 1, at + #pkt.payload) then wrong = wrong + 1 end
   if seen % 97 == 0 and not checksum_is_right(pkt, pkt.eth and 14 or 0) then bad = bad + 1 end
end }
tf.on_stop(function() tf.log(("seen %d wrong %d long %d bad %d"):format(seen, wrong, long, bad)) end)
"""

CLIENT = """
import socket, sys, time
for _ in range(600):
    try:
        connection = socket.create_connection((sys.argv[1], 7000))
        break
    except OSError:
        time.sleep(0.05)
count = 0
while piece := connection.recv(1 << 20):
    count += len(piece)
print(count)
"""


def starts_with(stderr, words):
    return re.search(r"^tunfilter: left .*, offload: " + words, stderr, re.M)


@pytest.mark.parametrize("kind, version, mss, options", [
    ("tun", 4, 0, []),
    ("tap", 6, 0, []),
    ("tun", 4, 88, []),  # more than 700 segments in a large packet: it goes over several batches
    ("tap", 4, 0, ["--workers", 2]),
    ("tun", 6, 0, ["--no-offload"]),
])
def test_a_script_sees_every_wire_packet(place, kind, version, mss, options):
    count = (4 if mss or harness.SANITIZED else 20) * MEGABYTE
    server = place.file("server.py", SERVER)
    client = place.file("client.py", CLIENT)
    longest = 1514 if kind == "tap" else 1500
    done = harness.run_lab(place, WATCH, sys.executable, client, ADDRESS[version],
                           options=["--left", kind, "--right", kind, "--set", "longest=%d" % longest, *options,
                                    "--on-right", "%s %s %d %d %d" % (sys.executable, server, PERIOD, count, mss)])
    assert done.returncode == 0 and int(done.stdout) == count, done.stdout + done.stderr
    assert starts_with(done.stderr, "none$" if "--no-offload" in options else "checksum, TSO"), done.stderr
    said = re.findall(r"seen (\d+) wrong (\d+) long (\d+) bad (\d+)", done.stderr)  # each worker
    assert len(said) == 1 + ("--workers" in options)
    seen, wrong, long, bad = (sum(map(int, column)) for column in zip(*said))
    assert (wrong, long, bad) == (0, 0, 0)
    assert seen >= count / (mss or 1460)
    table = harness.tables(done.stderr)[-1]
    harness.check_sums(table)
    assert table["forwarded"] == table["in"] and table["invalid"] == [0, 0] and table["errors"] == [0, 0]


# Each hundredth packet of the stream is lost, another one late, and others are changed into themselves, written in
# several ways or looked at.
ROUGH = HEADER + """
local count = 0
tf.on_packet{ "tcp src port 7001 or tcp dst port 7001", function(pkt)
   if pkt.tcp.flags.syn then return end
   count = count + 1
   local case = count % 100
   if case == 7 then return tf.drop end
   if case == 21 then return pkt:hold(0.001) end
   if case == 35 then pkt.payload = pkt.payload end
   if case == 42 then pkt.ip.ttl = pkt.ip.ttl - 1 end
   if case == 49 then pkt:replace("no such words", "but others") end
   if case == 56 then pkt.tcp.checksum = pkt.tcp.checksum end
   if case == 63 then pkt.tcp.sport = pkt.tcp.sport + 1; pkt.tcp.sport = pkt.tcp.sport - 1 end
   if case == 70 then return tf.drop, tf.send(pkt.to, pkt:copy()) end
   if case == 77 then pkt.raw = true; pkt.ip.ttl = pkt.ip.ttl end
   if case == 84 then assert(#pkt:bytes() == #pkt and #pkt:hexdump() > #pkt) end
end }
"""


# One packet in a hundred, of whatever direction.
ONE = HEADER + """
local count = 0
tf.on_packet{ "tcp src port 7001 or tcp dst port 7001", function(pkt)
   count = count + 1
   if count %% 100 == 7 and not pkt.tcp.flags.syn then %s end
end }
"""
DROPPED, HELD, EDITED = "return tf.drop", "return pkt:hold(0.001)", "pkt.payload = pkt.payload; pkt.ip.ttl = 9"


@pytest.mark.parametrize("rules, kind, version, options", [
    (ROUGH, "tun", 4, []),
    (ROUGH, "tap", 6, []),
    (ONE % DROPPED, "tun", 6, []),
    (ONE % HELD, "tap", 4, ["--workers", 2]),
    (ONE % EDITED, "tun", 4, []),
], ids=["all", "all-tap", "dropped", "held", "edited"])
def test_a_stream_that_is_dropped_held_and_edited_in_part(place, rules, kind, version, options):
    """TUNFILTER_STREAM is how many bytes; 2,000,000,000 is what was promised, and takes a minute and a half."""
    count = int(os.environ.get("TUNFILTER_STREAM", 4e6 if harness.SANITIZED else 200e6))
    program = shutil.copy(TRANSFER, place.path / "transfer.py")
    done = harness.run_lab(place, rules, sys.executable, program, "fetch", ADDRESS[version], "7001",
                           options=["--left", kind, "--right", kind, *options,
                                    "--on-right", "%s %s serve 7001 %d" % (sys.executable, program, count)])
    assert done.returncode == 0, done.stderr
    assert done.stdout == transfer.digest(count), done.stderr
    table = harness.tables(done.stderr)[-1]
    harness.check_sums(table)
    assert table["errors"] == [0, 0] and table["invalid"] == [0, 0], done.stderr
    hundredth = count / 1460 / 100 / 2
    assert (table["dropped"][1] > hundredth) == ("tf.drop" in rules)
    assert (table["held"][1] > hundredth) == ("hold" in rules)


# The ports of everything, there and back.
TRANSLATE = HEADER + """
tf.on_packet{ "tcp dst port 7002", from = tf.left, function(pkt) pkt.tcp.dport = 7001 end }
tf.on_packet{ "tcp src port 7001", from = tf.right, function(pkt) pkt.tcp.sport = 7002 end }
"""


# Fifty datagrams in one call (UDP_SEGMENT), the last of them shorter, when the server is there.
DATAGRAMS = """
import socket, struct, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.connect(("10.77.0.2", 7003))
sender.settimeout(0.1)
for _ in range(600):
    try:
        sender.send(b"?")
        if sender.recv(100):
            break
    except OSError:
        pass
text = b"".join(b"%04d" % i + bytes(i + j & 255 for j in range(996)) for i in range(49)) + b"the last"
sender.sendmsg([text], [(socket.IPPROTO_UDP, 103, struct.pack("H", 1000))])
sender.settimeout(60)
answer = b"!"
while answer == b"!":
    answer = sender.recv(100)
sys.stdout.write(answer.decode() + "\\n")
"""

ANSWER = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("10.77.0.2", 7003))
server.settimeout(60)
expected = [b"%04d" % i + bytes(i + j & 255 for j in range(996)) for i in range(49) if i % 7 != 3] + [b"the last"]
came = []
while len(came) < len(expected):
    data, address = server.recvfrom(2000)
    if data == b"?":
        server.sendto(b"!", address)
    else:
        came.append(data)
server.sendto(b"as expected" if came == expected else b"not so", address)
"""

COUNT = HEADER + """
local count, short, right = 0, 0, 0
tf.on_packet{ "udp dst port 7003", from = tf.left, function(pkt)
   if pkt.payload == "?" then return end
   count = count + 1
   if #pkt == 1028 and pkt.udp.len == 1008 and #pkt.payload == 1000 then right = right + 1 end
   if pkt.payload == "the last" then short = short + 1 end
   if (tonumber(pkt.payload:sub(1, 4)) or 0) % 7 == 3 then return tf.drop end
end }
tf.on_stop(function() tf.log(("%d datagrams, %d right, %d short"):format(count, right, short)) end)
"""


# What goes right and left at once: two streams and datagrams that are sent many at a time.
BOTH = "%(python)s %(program)s %(words)s 7001 %(count)s & %(python)s %(program)s %(words)s 7011 %(count)s & " \
       "%(python)s %(datagrams)s; wait"


@pytest.mark.skipif(not shutil.which("tshark"), reason="no tshark")
@pytest.mark.parametrize("rules, kind, version, options", [
    (TRANSLATE, "tun", 6, []),
    (ROUGH, "tap", 4, []),
    (ROUGH, "tun", 4, ["--workers", 2]),
    (harness.PASS, "tap", 6, ["--workers", 2]),
], ids=["edited", "all", "all-workers", "passed"])
def test_a_capture_has_wire_packets_and_right_checksums(place, rules, kind, version, options):
    count = 2 * MEGABYTE
    program = shutil.copy(TRANSFER, place.path / "transfer.py")
    words = {"python": sys.executable, "program": program}
    right = BOTH % dict(words, words="serve", count=count, datagrams=place.file("answer.py", ANSWER))
    left = BOTH % dict(words, words="fetch " + ADDRESS[version], count="", datagrams=place.file("datagrams.py", DATAGRAMS))
    if rules == TRANSLATE:
        left = left.replace(" 7001 ", " 7002 ")
    capture = place.path / "offload.pcapng"
    done = harness.run_lab(place, rules + COUNT, "sh", "-c", left,
                           options=["--left", kind, "--right", kind, "--capture", capture, *options, "--on-right", right])
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines(True)) == sorted([transfer.digest(count)] * 2 + ["as expected\n"])
    assert "not in it" not in done.stderr
    fields = ["frame.len", "ip.checksum.status", "tcp.checksum.status", "tcp.len", "udp.checksum.status", "udp.length"]
    checks = [word for name in ("ip", "tcp", "udp") for word in ("-o", name + ".check_checksum:TRUE")]
    shown = subprocess.run(["tshark", "-n", "-r", capture, "-Y", "(tcp or udp) and not icmp and not icmpv6", *checks,
                            "-T", "json", *(word for name in fields for word in ("-e", name))],
                           capture_output=True, check=True, text=True).stdout
    packets = [packet["_source"]["layers"] for packet in json.loads(shown)]
    capture.unlink()
    lengths = [int(packet["tcp.len"][0]) for packet in packets if "tcp.len" in packet]
    assert sum(lengths) >= (3 if rules == TRANSLATE else 2) * count  # what was edited is there as it came, and as it went
    assert sum(packet.get("udp.length") == ["1008"] for packet in packets) == 49
    assert max(int(packet["frame.len"][0]) for packet in packets) == (1514 if kind == "tap" else 1500)
    for name in ("ip", "tcp", "udp"):
        assert {packet.get(name + ".checksum.status", ["1"])[0] for packet in packets} == {"1"}, name  # good


def test_datagrams_that_were_sent_at_once(place):
    client, server = place.file("datagrams.py", DATAGRAMS), place.file("answer.py", ANSWER)
    done = harness.run_lab(place, COUNT, sys.executable, client, options=["--on-right", "%s %s" % (sys.executable, server)])
    assert done.stdout == "as expected\n", done.stdout + done.stderr
    assert "50 datagrams, 49 right, 1 short" in done.stderr


def many_segments(count):
    """A large TCP packet of so many segments, each with 12 bytes of which the first two are its number."""
    payload = b"".join(number.to_bytes(2, "big") * 6 for number in range(count))
    packet = IP(src="192.0.2.1", dst="192.0.2.2", id=7) / TCP(sport=1, dport=2, seq=100, flags="A") / payload
    return wire.VNET_HDR.pack(1, 1, 40, 12, 20, 16) + wire.without_checksum(bytes(packet))[wire.VNET_HDR.size :]


def numbers(packets):
    return [int.from_bytes(packet[40:42], "big") for packet in packets]


def test_a_reload_while_a_large_packet_is_cut(place, lab):
    """It has more segments than a batch, and the one that was at it when it was asked to end takes all of them."""
    slow = HEADER + """
    local count = 0
    tf.on_packet("tcp", function()
       for _ = 1, 2e5 do count = count + 1 end
    end)
    """
    path = place.script(slow)
    with lab(path, "--time-limit", "30000") as running:
        running.left.socket.send(many_segments(5000))
        path.write_text(slow + "-- anew")
        came = running.right.receive(5000, timeout=30)
        running.wait_for("is loaded anew", timeout=60)
        assert running.right.nothing()
    assert numbers(came) == list(range(5000))
    assert running.table()["in"] == running.table()["forwarded"] == [5000, 0]


def test_what_was_not_cut_yet_when_a_worker_died_is_counted(lab):
    hang = HEADER + 'tf.on_packet("tcp", function(pkt) while pkt.payload:sub(1, 2) == "\\2\\0" do end end)\n'
    with lab(hang, "--time-limit", "300") as running:
        running.left.socket.send(many_segments(5000))
        running.wait_for("afresh")
        came = running.right.receive(5000, timeout=0.5)
    assert numbers(came) == list(range(len(came))) and 0 < len(came) <= 512
    table = running.table()
    assert table["in"] == [5000, 0] and table["in bytes"] == [5000 * 52, 0]
    assert table["forwarded"] == [len(came), 0] and table["errors"] == [5000 - len(came), 0]


# The program on interfaces that are there already, whose worker is killed on the way; then another program
# on one of them, which prints the lengths of datagrams that are sent at once, and whether all checksums are right.
GIVEN_BACK = """
import fcntl, os, select, signal, socket, struct, subprocess, sys, threading, time
from wire import checksum
for name in ("pl", "pr"):
    subprocess.run(["ip", "tuntap", "add", "dev", name, "mode", "tun"], check=True)
subprocess.run("ip addr add 10.9.0.1/24 dev pl && ip link set pl up", shell=True, check=True)
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
program = subprocess.Popen([*sys.argv[1:], "--left", "tun:pl", "--right", "tun:pr"], stderr=subprocess.PIPE, text=True)
def wait_for(words):
    for line in program.stderr:
        sys.stderr.write(line)
        if words in line:
            return
    raise SystemExit("it ended")
wait_for("callback")
over = threading.Event()
def send():
    while not over.wait(0.1):
        sender.sendto(b"?", ("10.9.0.2", 9))
thread = threading.Thread(target=send, daemon=True)
thread.start()
wait_for("seen")
worker, = map(int, open("/proc/%d/task/%d/children" % (program.pid, program.pid)).read().split())
os.kill(worker, signal.SIGKILL)
wait_for("afresh")
wait_for("seen")
program.send_signal(signal.SIGINT)
program.communicate()
over.set()
thread.join()
fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH14x", b"pl", 0x1001))  # TUNSETIFF; IFF_TUN, IFF_NO_PI
lengths, right, end = [], True, time.monotonic() + 60
while not lengths and time.monotonic() < end:  # it takes the kernel a while to see that somebody holds the device again
    sender.sendmsg([bytes(20000)], [(socket.IPPROTO_UDP, 103, struct.pack("H", 1000))], 0, ("10.9.0.2", 7))
    while len(lengths) < 20 and select.select([fd], [], [], 0.5)[0]:
        packet = os.read(fd, 70000)
        if packet[9] == 17 and packet[22:24] == b"\\0\\7":
            lengths.append(len(packet))
            right &= checksum(packet[12:20] + b"\\0\\x11" + packet[24:26] + packet[20:]) == 0
print(program.returncode, lengths == [1028] * 20, right)
"""


def test_interfaces_that_were_there_are_given_back(place):
    script = place.script(HEADER + 'tf.on_packet("udp port 9", function() tf.log "seen" end)\n')
    done = harness.run(place, "run", script, prefix=[*harness.IN_NAMESPACE, sys.executable, place.file("given_back.py", GIVEN_BACK)])
    assert done.stdout == "0 True True\n", done.stdout + done.stderr


@pytest.mark.skipif(harness.SANITIZED, reason="a few system calls at the start, which others make too")
@pytest.mark.parametrize("flags, words, kind, version, options", [
    (0x60, "checksum, TSO", "tun", 4, []),  # Linux before 6.2
    (0x08, "checksum, TSO (no ECN), USO", "tun", 6, []),
    (0x68, "checksum, TSO (no ECN)", "tap", 4, ["--workers", 2]),
    (0x62, "checksum, TSO6", "tun", 6, []),
    (0x6e, "checksum", "tap", 4, []),
    (0x6f, "none", "tun", 6, []),
    (None, "none", "tun", 4, []),           # no such call at all
])
def test_a_kernel_that_refuses_some_of_it(place, flags, words, kind, version, options):
    count = 4 * MEGABYTE
    program = shutil.copy(TRANSFER, place.path / "transfer.py")
    done = harness.run_lab(place, ROUGH, sys.executable, program, "fetch", ADDRESS[version], "7001",
                           options=["--left", kind, "--right", kind, *options,
                                    "--on-right", "%s %s serve 7001 %d" % (sys.executable, program, count)],
                           forbids=forbid.offload(flags))
    assert done.returncode == 0 and done.stdout == transfer.digest(count), done.stdout + done.stderr
    assert starts_with(done.stderr, re.escape(words) + "$"), done.stderr
    table = harness.tables(done.stderr)[-1]
    harness.check_sums(table)
    assert table["errors"] == table["invalid"] == table["malformed"] == [0, 0], done.stderr
    doctor = harness.run(place, "doctor", forbids=forbid.offload(flags)).stdout
    assert re.search(r"^%s +offload .* has: %s$" % ("ok" if "TSO" in words else "warning", re.escape(words)), doctor, re.M), doctor


WRITE = HEADER + """
local seen = 0
tf.on_packet("tcp", function(pkt)
   seen = seen + 1
   if seen == 1 then pkt.tcp.checksum = 0x1234 end
   if seen == 2 then pkt.raw = true; pkt.tcp.window = 7 end
   if seen == 3 then pkt:set_u8(#pkt - 1, 7) end
   if seen == 4 then pkt.payload = "another" end
end)
"""


@pytest.mark.parametrize("options", [[], ["--no-offload"]])
def test_what_a_script_writes_is_what_goes_out(lab, options):
    payload = bytes(range(256)) * 20
    large = IP(src="192.0.2.1", dst="192.0.2.2", id=7) / TCP(sport=1, dport=2, seq=100, flags="PA") / payload
    parts = []
    for number, at in enumerate(range(0, len(payload), 1000)):
        part = large.copy()
        part.id, part[TCP].seq = 7 + number, 100 + at
        part[TCP].flags = "PA" if at + 1000 >= len(payload) else "A"
        part[TCP].remove_payload()
        parts.append(IP(bytes(part / payload[at : at + 1000])))
    parts[0][TCP].chksum = 0x1234
    parts[1][TCP].window = 7  # and the checksum is that of before
    expected = [bytes(part) for part in parts]
    for number, text in ((2, payload[2000:2999] + b"\7"), (3, b"another")):
        part = parts[number].copy()
        part[TCP].remove_payload()
        del part.len, part.chksum, part[TCP].chksum
        expected[number] = bytes(part / text)

    raw = bytearray(bytes(large))
    pseudo = wire.checksum(raw[12:20] + (6).to_bytes(2, "big") + (len(raw) - 20).to_bytes(2, "big")) ^ 0xFFFF
    raw[36:38] = pseudo.to_bytes(2, "big")
    with lab(WRITE, *options) as running:
        running.left.socket.send(wire.VNET_HDR.pack(1, 1, 40, 1000, 20, 16) + raw)
        assert running.right.receive(len(expected)) == expected
        assert running.right.nothing()
