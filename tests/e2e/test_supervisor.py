"""What a worker in the hands of a hostile script can do to the supervisor: nothing, by the memory and the channel they share."""

import os
import signal

import pytest
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

import harness
import lab_tools

HEADER = 'local tf = require "tunfilter"\n'
MARK = HEADER + 'tf.on_packet("udp", function(pkt) pkt.payload = "%s" end)\n'

# A process that the script leaves behind has what the worker had.
LEAVES_BEHIND = HEADER + """
local ffi = require "ffi"
ffi.cdef[[int fork(void); int getpid(void); long send(int, const void *, size_t, int); void _exit(int);]]
local function shared()
   local best, from = 0
   for line in io.lines "/proc/self/maps" do
      local first, last, perms = line:match "^(%%x+)-(%%x+) (%%S+)"
      local size = tonumber(last, 16) - tonumber(first, 16)
      if perms == "rw-s" and size > best then best, from = size, first end
   end
   return ffi.cast("uint64_t *", tonumber(from, 16))
end
local function channels()
   local found = {}
   local list = io.popen("ls -l /proc/" .. ffi.C.getpid() .. "/fd")
   for line in list:lines() do
      local fd = line:match "(%%d+) %%-> socket:"
      if fd and tonumber(fd) > 2 then found[#found + 1] = tonumber(fd) end
   end
   list:close()
   return found
end
local done
tf.on_packet("udp", function(pkt)
   if done or pkt.payload ~= "now" then return end
   done = true
   local words, fds = shared(), channels()
   io.stderr:write("left behind\\n")
   if ffi.C.fork() ~= 0 then return end
   local seed, round = 1, 0
   repeat
      round = round + 1
      %s
   until round %% 256 == 0 and io.open "enough"
   ffi.C._exit(0)
end)
"""

# Its first pages have all but the counters and what is handed over.
SCRIBBLES = """
      local values = { 0ULL, -1ULL, 1ULL, 0x2f2f2f2f2f2f2f2fULL, 0x8000000000000000ULL }
      local size = %d
      seed = (seed * 16807) %% 2147483647
      local value = values[seed %% 7 + 1] or ffi.cast("uint64_t", seed) * 0x100000001ULL
      local at = seed %% size
      for i = at, math.min(at + seed %% 600, size - 1) do words[i] = value end
"""
# The whole alphabet of both, without an end.
SHOUTS = """
      for _, fd in ipairs(fds) do ffi.C.send(fd, "rRhslEPSHG", 10, 0x4000) end
"""
WORDS = 8192  # words: more than they and the counters are


def packet(text):
    return bytes(IP(src="198.51.100.1", dst="203.0.113.1") / UDP(sport=9, dport=9) / Raw(text.encode()))


def marked(running, pid):
    os.kill(pid, signal.SIGHUP)  # what was scribbled on has not come to its end
    running.left.send(packet("x"))
    return packet("y") in [bytes(one) for one in running.right.receive(1, timeout=0.2)]


def pending(pid, number):
    """Whether a signal waits to be read."""
    with open("/proc/%d/status" % pid, encoding="ascii") as lines:
        return int(dict(line.split(":", 1) for line in lines)["ShdPnd"], 16) >> (number - 1) & 1


def supervisor(running):
    return lab_tools.child(lab_tools.child(running.pid, "tunfilter-lab"), "tunfilter")


@pytest.mark.parametrize("what", ["scribbles", "shouts"])
def test_what_it_shares_is_not_trusted(place, lab, what):
    """Whatever becomes of the workers: the supervisor hears signals, and a script that was mended is loaded."""
    path, capture = place.script(LEAVES_BEHIND % (SCRIBBLES % WORDS if what == "scribbles" else SHOUTS)), place.path / "out.pcapng"
    with lab(path, "--unsafe", "--time-limit", "200", "--capture", capture, "--no-offload") as running:
        pid = supervisor(running)
        running.left.send(packet("now"))
        running.wait_for("left behind")
        for turn in range(20):
            os.kill(pid, (signal.SIGHUP, signal.SIGUSR1, signal.SIGCONT)[turn % 3])
            running.left.send(packet("x"))
            running.right.receive(1, timeout=0.1)
        path.write_text(MARK % "y")
        (place.path / "enough").touch()
        harness.wait_until(lambda: marked(running, pid))
        assert supervisor(running) == pid
    assert running.status == 0, running.stderr
    assert capture.stat().st_size < 1 << 24


def test_an_end_that_is_wished_for_in_the_middle_of_a_reload(place, lab):
    """The one that takes over is told at once that it is to end; if it does not hear that, it is not waited for."""
    path = place.script(HEADER + 'tf.on_stop(function() tf.log "ending" repeat until io.open "enough" end)\n')
    with lab(path, "--unsafe", "--time-limit", "0") as running:
        pid = supervisor(running)
        path.write_text(HEADER + 'tf.on_packet("udp", function(pkt) while pkt.payload == "now" do end end)\n')
        running.wait_for("ending")
        running.left.send(packet("now"))
        os.kill(pid, signal.SIGTERM)
        harness.wait_until(lambda: not pending(pid, signal.SIGTERM))
        (place.path / "enough").touch()
        running.wait_for("the filter has ended, and the lab with it")
    assert "the script does not come back: ended without waiting for it" in running.stderr
    assert running.status == 1
