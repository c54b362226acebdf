"""What nobody reads does not hold packets up: a line that is not taken at once is lost, and counted."""

import os
import re
import sys

from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

import harness
import lab_tools

RULES = """local tf = require "tunfilter"
tf.on_packet("udp", function(pkt)
   if pkt.payload == "much" then
      for i = 1, 3000 do tf.log(("x"):rep(100)) end
      for i = 1, 3000 do io.write(("y"):rep(100), "\\n") end
   elseif pkt.payload == "hang" then
      while true do end
   elseif pkt.payload == "line" then
      tf.log "a line"
   end
end)
"""


def packet(text):
    return bytes(IP(src="198.51.100.1", dst="203.0.113.1") / UDP(sport=9, dport=9) / Raw(text.encode()))


def passed(running, text):
    running.left.send(packet(text))
    return packet(text) in running.right.receive(1, timeout=1)


def passes(running, text):
    """Others may come before it."""
    running.left.send(packet(text))
    harness.wait_until(lambda: packet(text) in running.right.receive(1, timeout=1), 60)


def read_all(fd):
    text = b""
    while True:
        try:
            text += os.read(fd, 65536)
        except BlockingIOError:
            return text.decode()


class Unread(harness.Wired):
    """A lab that writes to a pipe, which is never empty of writers."""

    def __init__(self, place, pipe, *options):
        super().__init__(place, "sh", "-c", 'exec "$@" > %s 2>&1' % pipe, "sh", place.program, "lab", place.script(RULES),
                         *options, "--", sys.executable, place.wire, user=True)


def test_a_pipe_that_nobody_reads(place):
    path = place.path / "pipe"
    os.mkfifo(path)
    path.chmod(0o666)
    pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    with Unread(place, path, "--time-limit", "2000") as running:
        passes(running, "before")
        passes(running, "much")
        passes(running, "behind")
        running.left.send(packet("hang"))
        harness.wait_until(lambda: passed(running, "afresh"), 60)
        text = read_all(pipe)
        assert "xxxx" in text and "did not come back" not in text  # it was full by then
        passes(running, "line")
        text += read_all(pipe)
        passes(running, "more")
    os.close(pipe)
    lost = re.search(r"^tunfilter: (\d+) lines were lost here: nobody read them\n(.*a line)$", text, re.M)
    assert lost, text[-1000:]
    assert int(lost[1]) > 2000
    assert running.status == 0


def test_a_terminal_that_was_stopped(place):
    """By Ctrl-S, which people press without knowing."""
    replies = place.path / "replies"
    script = place.script("""local tf = require "tunfilter"
    tf.on_packet("icmp", function(pkt)
       tf.log(pkt.number)
       if #pkt.payload == 101 then while true do end end
    end)
    """)

    def seen():
        return replies.read_text().count("icmp_seq") if replies.exists() else 0

    with lab_tools.Terminal(place, place.program, "lab", script, "--time-limit", "300", "--", "sh", "-c",
                            "ping -i 0.02 right > replies & until [ -e go ]; do sleep 0.1; done; "
                            "ping -c 1 -W 1 -s 101 right > hang; touch hung; wait") as terminal:
        harness.wait_until(lambda: seen() > 3, 60)
        terminal.type("\x13")
        (place.path / "go").touch()
        harness.wait_until((place.path / "hung").exists, 60)
        before = seen()
        harness.wait_until(lambda: seen() > before + 90, 60, lambda: "%d replies, then %d" % (before, seen()))
        terminal.type("\x11")
        terminal.wait_for("lines were lost here")
        terminal.type("\x03")
        terminal.end()
