"""`tunfilter check --jit` names the lines that LuaJIT does not compile, and nothing else."""

import re

import pytest
from scapy.all import IP, TCP, UDP, Dot1Q, Ether, wrpcap

import harness

HEAD = 'local tf = require "tunfilter"\nlocal kept, n = {}, 0\n'

COMPILED = {
    "fields": """
tf.on_packet("tcp", function(pkt)
   local ip, tcp = pkt.ip, pkt.tcp
   if ip.src == tf.ip "10.9.9.9" or tcp.sport == 7 or tcp.dport == 7 or ip.ttl == 0 then return tf.drop end
   if tcp.window == 5 or tcp.seq == 77 or tcp.flags.syn and tcp.urgent == 9 then return tf.reply end
   n = n + 1
end)""",
    "edits": """
tf.on_packet(function(pkt)
   local header = pkt.tcp or pkt.udp
   if header then header.sport, header.dport, pkt.ip.ttl = 7, header.sport, 9 end
end)""",
    "flows": """
local count = tf.counter "packets"
tf.on_packet("ip or ip6", function(pkt)
   local flow = tf.flow(pkt)
   flow.n = (flow.n or 0) + 1
   count:add()
end)""",
    "lists": """
local nets, names = tf.nets{ "10.0.0.0/8" }, tf.names{ "example.org" }
tf.on_packet("ip", function(pkt)
   if nets:contains(pkt.ip.src) and names:contains "www.example.org" then n = n + 1 end
end)""",
}

# What is not compiled, by the line it is in, which ends in "-- here", and words of the reason.
INTERPRETED = {
    "dns": ("what it calls there", """
local dns = require "tunfilter.dns"
tf.on_packet("udp", function(pkt)
   local message = dns.parse(pkt)                           -- here
   if message then n = n + 1 end
end)"""),
    "gsub": ("gsub", """
tf.on_packet("udp", function(pkt)
   local text = pkt.payload:gsub("%d+", "x")                -- here
   if text == "y" then return tf.drop end
end)"""),
    "match": ("match", """
tf.on_packet("udp", function(pkt)
   if pkt.payload:match "^a+b" then return tf.drop end      -- here
end)"""),
    "pairs": ("pairs", """
for i = 1, 5 do kept["k" .. i] = i end
tf.on_packet("icmp or icmp6", function(pkt)
   for _, value in pairs(kept) do                           -- here
      if value == pkt.len then return tf.drop end
   end
end)"""),
    "closure": ("function is made", """
tf.on_packet("tcp", function(pkt)
   local big = function() return pkt.len > 9000 end         -- here
   if big() then return tf.drop end
end)"""),
    "tostring": ("tostring", """
tf.on_packet("udp", function(pkt)
   kept.text = tostring(pkt)                                -- here
end)"""),
}


def check(place, rules, *arguments, status=0):
    script = place.script(HEAD + rules)
    done = harness.run(place, "check", "--jit", script, *arguments)
    assert done.returncode == status, done.stderr
    return script, done.stdout


@pytest.mark.parametrize("name", COMPILED)
def test_what_is_compiled(place, name):
    _, output = check(place, COMPILED[name])
    assert re.search(r"^callback .*: compiled$", output, re.M), output
    assert re.search(r"^garbage   none$", output, re.M), output
    assert re.search(r"^summary   1 of 1 callbacks .* run compiled", output, re.M), output


@pytest.mark.parametrize("name", INTERPRETED)
def test_the_line_and_the_reason(place, name):
    words, rules = INTERPRETED[name]
    line = 1 + (HEAD + rules).split("-- here")[0].count("\n")
    script, output = check(place, rules)
    assert re.search(r"^callback .*: (not|partly) compiled$", output, re.M), output
    reasons = re.findall(r"^ +(.*):(\d+): (.*)$", output, re.M)
    assert [text for path, number, text in reasons
            if path.endswith(script.name) and int(number) == line and words in text], output
    assert "summary   0 of 1" in output


def test_each_of_many_callbacks_by_itself(place):
    """From twelve expressions on, callbacks are called in another way."""
    fast = "\n".join('tf.on_packet("udp port %d", function(pkt) n = n + pkt.len + pkt.ip.ttl end)' % port
                     for port in (53, 123, 443, 5001, *range(7, 15)))
    _, output = check(place, fast + INTERPRETED["closure"][1])
    assert output.count(": compiled\n") == 4, output
    assert output.count(": none of the packets came to it\n") == 8, output
    assert len(re.findall(": (?:not|partly) compiled\n.*function is made", output)) == 1, output


def test_garbage(place):
    _, output = check(place, """tf.on_packet("tcp", function(pkt)
   kept[1] = { pkt.len, pkt.ip.ttl }
end)""")
    assert int(re.search(r"^garbage   (\d+) bytes a packet", output, re.M).group(1)) >= 16, output


def test_packets_of_a_capture(place):
    """Frames with tags, which it has no packets of itself."""
    path = place.path / "in.pcap"
    frame = Ether() / Dot1Q(vlan=5) / IP(src="10.0.0.1", dst="10.0.0.2")
    wrpcap(str(path), [frame / TCP(sport=port) for port in range(1000, 1040)] + [frame / UDP()])
    rules = 'tf.on_packet("vlan 5 and tcp", function(pkt) if pkt.eth.vlan ~= 5 then error "no" end n = n + 1 end)'
    _, output = check(place, rules, path)
    assert re.search(r"vlan 5 and tcp: compiled$", output, re.M), output
    _, output = check(place, 'tf.on_packet("icmp", function(pkt) n = n + 1 end)', path)
    assert "icmp: none of the packets came to it" in output


def test_that_the_jit_is_off(place):
    _, output = check(place, 'require "jit".off()\ntf.on_packet(function(pkt) n = n + 1 end)', "--unsafe")
    assert output.startswith("summary   the JIT is off"), output


def test_what_it_cannot_do(place):
    path = place.path / "in.pcap"
    path.write_bytes(b"no capture")
    script = place.script(HEAD)
    assert harness.run(place, "check", "--jit", script, path).returncode == 3
    assert harness.run(place, "check", script, path).returncode == 2
    assert harness.run(place, "replay", "--jit", script, path).returncode == 2
    assert harness.run(place, "check", "--jit", place.script("tf.on_packet(7)")).returncode == 1
    thrown = harness.run(place, "check", "--jit", place.script(HEAD + 'tf.on_packet(function() error "mine" end)'))
    assert thrown.returncode == 0
    assert "threw" in thrown.stderr and "mine" in thrown.stderr
