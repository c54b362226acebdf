"""--workers: flows whose addresses or ports a script changes stay with the worker whose script did, for longer
than the kernel remembers which one that was (3 to 6 seconds)."""

import shutil
import sys
import time

from scapy.all import ICMP, IP, UDP, Ether, PcapNgReader, Raw, fragment

import harness
import transfer

WORKERS, FLOWS = 4, 40
FORGETS = 6.5  # seconds

# A table of mappings in each worker, which the others know nothing of. Packets leave with the worker as their TTL.
# What is held and let go, captured and sent by the script goes the same way as all else.
NAT = """
local tf = require "tunfilter"
local datagrams = {}
tf.keep.mapped = tf.keep.mapped or {}
local mapped = tf.keep.mapped
local seen = tf.counter "seen"
tf.on_packet{ from = tf.left, function(pkt)
   if not pkt.udp then return tf.drop end
   seen:add()
   if pkt.udp.dport == 99 then
      tf.send(tf.right, tf.packet{ ip = { src = "198.51.100.9", dst = "192.0.2.9", ttl = tf.worker },
                                   udp = { sport = pkt.udp.sport + 10000, dport = 53 }, payload = pkt.payload })
      mapped[pkt.udp.sport + 10000] = pkt.udp.sport
      return tf.drop
   end
   local outer = pkt.udp.sport + 10000
   mapped[outer] = pkt.udp.sport
   pkt.udp.sport = outer
   if pkt.ip4 then pkt.ip4.src = "198.51.100.9" end
   pkt.ip.ttl = tf.worker
   if pkt.udp.dport == 54 then return pkt:hold(0.01) end
end }
tf.on_packet{ from = tf.right, function(pkt)
   local quoted = pkt.quoted
   local ours
   if quoted then
      ours = mapped[quoted.udp.sport]
   elseif pkt.udp then
      ours = mapped[pkt.udp.dport]
      if ours then
         pkt.udp.dport = ours
         datagrams[tostring(pkt.ip.src) .. (pkt.ip4 and pkt.ip4.id or 0)] = true
      end
   else
      ours = datagrams[tostring(pkt.ip.src) .. (pkt.ip4 and pkt.ip4.id or 0)]
   end
   if not ours then tf.counter("strangers"):add() return tf.drop end
   seen:add()
   if pkt.ip4 then pkt.ip4.dst = "192.0.2.1" end
   pkt.ip.ttl = tf.worker
   if pkt.udp and pkt.udp.sport == 54 then return pkt:hold(0.01) end
end }
"""


class Host:
    """A lab with the script, and packets of IP for it."""

    def __init__(self, lab, kind):
        self.lab = lab
        self.ethernet = kind == "tap"
        self.sent = [0, 0]
        self.workers = {}  # flow -> the worker that mapped it

    def move(self, packets, side, count=None):
        """What came of packets sent from a side, as IP; `count` of them."""
        ports = [self.lab.left, self.lab.right]
        frame = bytes(Ether(src="02:00:00:00:09:01", dst="02:00:00:00:09:02", type=0x0800)) if self.ethernet else b""
        came = []
        for start in range(0, len(packets), 64):
            part = packets[start : start + 64]
            for packet in part:
                ports[side].send(frame + bytes(packet))
            came += ports[1 - side].receive(len(part), 20)
        self.sent[side] += len(packets)
        assert len(came) == len(packets), self.lab.stderr
        return [packet[len(frame):] for packet in came]

    def ask(self):
        for packet in self.move([ask(number, (53, 54, 53, 99)[number % 4]) for number in range(FLOWS)], 0):
            self.workers[IP(packet)[UDP].sport - 30000] = packet[8]
        assert sorted(self.workers) == list(range(FLOWS)) and len(set(self.workers.values())) > 1

    def right(self, packets):
        """These answers, a flow each and numbered by their IP identification, come to the worker that has the flow."""
        came = self.move(packets, 1)
        assert [IP(packet).id for packet in sorted(came, key=lambda packet: IP(packet).id)] == [packet.id for packet in packets]
        assert [packet for packet in came if packet[8] != self.workers[IP(packet).id]] == []
        return came

    def answers(self):
        came = self.right([answer(number, (53, 54, 53, 53)[number % 4]) for number in range(FLOWS)])
        assert [packet for packet in came if IP(packet)[UDP].dport != 20000 + IP(packet).id] == []

    def errors(self):
        """Of a router between, whose address no packet had before."""
        self.right([IP(src="192.0.2.77", dst="198.51.100.9", id=number) / ICMP(type=3, code=3) /
                    IP(src="198.51.100.9", dst="192.0.2.9") / UDP(sport=30000 + number, dport=53) / Raw(b"ask")
                    for number in range(0, FLOWS, 2) if number % 4 != 1])

    def fragments(self):
        whole = [answer(number, payload=b"x" * 3000) for number in range(0, FLOWS, 2) if number % 4 != 1]
        came = self.move([part for packet in whole for part in fragment(packet, 1400)], 1)
        assert len(came) == 3 * len(whole)
        assert [packet for packet in came if packet[8] != self.workers[IP(packet).id]] == []


def ask(number, port=53, payload=b"ask"):
    return IP(src="192.0.2.1", dst="192.0.2.9") / UDP(sport=20000 + number, dport=port) / Raw(payload)


def answer(number, port=53, payload=b"answer"):
    return IP(src="192.0.2.9", dst="198.51.100.9", id=number) / UDP(sport=port, dport=30000 + number) / Raw(payload)


def numbered(make, count, flows=8):
    """So many packets of flows in turn, each with its place among its flow's."""
    return [bytes(make(4 * (i % flows), payload=b"%06d" % (i // flows))) for i in range(count)]


def check_order(came, count, flows=8):
    """That they came in the order in which numbered() gave them, flow for flow."""
    found = {}
    for packet in came:
        found.setdefault(packet[20:24], []).append(int(packet[-6:]))
    assert len(found) == flows
    assert [order for order in found.values() if order != list(range(count // flows))] == []


def test_what_answers_late(place):
    capture = place.path / "late.pcapng"
    script = place.script(NAT)
    options = ["--workers", WORKERS]
    with harness.Lab(place, NAT, *options, "--capture", capture) as tun, harness.Lab(place, script, *options, kind="tap") as tap:
        hosts = [Host(tun, "tun"), Host(tap, "tap")]
        for host in hosts:
            host.ask()
        time.sleep(FORGETS)
        for host in hosts:
            host.answers()
            host.errors()
            host.fragments()
        # The kernel knows nothing of them yet, as nobody has asked again: the next script's is what the last one's was.
        script.write_text(NAT + "-- again\n")
        tap.wait_for("is loaded anew")
        hosts[1].answers()
        # Answers that are handed over; then those that need not be; then both directions at once.
        host = hosts[0]
        check_order(host.move(numbered(answer, 800), 1), 800)
        check_order(host.move(numbered(ask, 800), 0), 800)
        for start in range(0, 800, 64):
            for there, back in zip(numbered(ask, 800)[start : start + 64], numbered(answer, 800)[start : start + 64]):
                tun.left.send(there)
                tun.right.send(back)
        check_order(tun.right.receive(800, 20), 800)
        check_order(tun.left.receive(800, 20), 800)
        host.sent = [sent + 800 for sent in host.sent]
    for host in hosts:
        assert host.lab.status == 0
        table = host.lab.table()
        assert "strangers" not in host.lab.stderr
        assert table["in"] == host.sent and table["kernel-dropped"] == [0, 0] and table["lost"] == [0, 0]
        assert table["held"] == [10, 20 if host is hosts[1] else 10] and table["sent"] == [10, 0]
    assert "not in it" not in tun.stderr
    packets = [bytes(packet) for packet in PcapNgReader(str(capture))]
    for number in range(FLOWS):
        assert packets.count(bytes(answer(number, (53, 54, 53, 53)[number % 4]))) == 1


def test_a_stream_through_a_translator(place):
    count = int(4e6 if harness.SANITIZED else 100e6)
    program = shutil.copy(transfer.__file__, place.path / "transfer.py")
    done = harness.run_lab(place, harness.ROOT / "scripts/nat.lua", sys.executable, program, "fetch", "10.99.0.1", "7001",
                           options=["--workers", 3, "--on-right", "%s %s serve 7001 %d" % (sys.executable, program, count)])
    assert (done.returncode, done.stdout) == (0, transfer.digest(count)), done.stderr
    harness.check_sums(harness.tables(done.stderr)[-1])
