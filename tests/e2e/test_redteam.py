"""Scripts that try to get out: every attempt fails with an error, and what other callbacks do is as before."""

import re

import pytest
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

import captures
import harness

# Each is the body of a function, called with a packet, that returns something true if it got what it wanted.
ATTEMPTS = r"""
return io.open("/etc/passwd")
return io.lines("/etc/passwd")()
return io.read("*a")
return dofile("/etc/passwd")
return loadfile("/etc/passwd")
return require "/etc/passwd"
return require "../../../../etc/passwd"
return require "....etc.passwd"
return tf.nets.load "/etc/passwd"
return tf.names.load "../../../etc/hosts"
return os.execute("true")
return io.popen("id")
return os.getenv("HOME")
return os.remove("rules.lua")
return os.rename("a", "b")
return os.exit(3)
return os.tmpname()
return require "socket"
return require "ffi"
return require "jit"
return require "string.buffer"
return require "tunfilter.core"
return require "tunfilter.live"
return package.loaded.ffi
return package.loadlib("libc.so.6", "system")
return _G.package or _G.ffi or _G.jit or _G.module
return debug.getregistry()
return debug.getupvalue(tf.on_packet, 1)
return debug.getmetatable(pkt)
return debug.sethook(function() end)
return getfenv(0)
return getfenv(tf.on_packet)
return setfenv(1, {}) or true
return string.dump(function() end)
return load(("\27LJ\2\2"))
return load(string.char(27) .. "LJ\2\0\0", "x", "b")
return newproxy(true)
return getmetatable("").__index.dump
return load("return getfenv or require 'ffi'", "x", "t", 1)()
return load("return io.open", "x", "t", print)()
return type(getmetatable(pkt)) == "table"
return type(getmetatable(pkt.ip)) == "table"
return type(getmetatable(tf.flow)) == "table"
return setmetatable(pkt, {})
return setmetatable("", { __index = {} })
rawset(tf, "on_packet", print) rawset(tf, "forward", 7)
return rawset(pkt, "len", 5)
return rawget(tf.left, "index") or rawget(pkt, 1)
tf.drop = tf.forward return true
tf.keep = nil return true
pkt:set_u8(pkt.len, 1) return true
pkt:set_u32(pkt.len - 2, 1) return true
pkt:set_u8(-1, 1) return true
pkt:set_u8(2 ^ 53, 1) return true
return pkt:u32(pkt.len - 3)
return pkt:bytes(0, 1e9):len() > pkt.len
return pkt:u8(0 / 0)
return pkt + 1
return pkt[0]
return pkt.data or true
return tf.ip(pkt).a
return ("x"):rep(-1):byte(1)
return old:u8(0)
return old.ip.src
return old.payload
return coroutine.wrap(function() return debug.getinfo(1).func end)()
return select(2, xpcall(error, debug.getlocal)) ~= nil and false or debug.getlocal(1, 1)
return tf.send(tf.left, "\69\0")
return tf.packet(("x"):rep(70000))
return tf.counter(("x"):rep(1e6))
error(setmetatable({}, { __tostring = function() error "again" end }))
error(setmetatable({}, { __index = function() while false do end end, __metatable = false }))
collectgarbage("stop") return true
collectgarbage("setpause", 1) return true
string.format("%s", setmetatable({}, { __tostring = function() return 1 end }))
""".strip().splitlines()

# These get nothing, which is no error.
HARMLESS = re.compile(r'return (type\(|_G\.|load\(\(|load\(string|\("x"\):rep)|rawset\(tf|string\.format')

TRY = """
local tf = require "tunfilter"
local function try(name, env)
   local text = tf.args[name]
   local attempt = assert(load(text, "attempt", "t", setmetatable(env, { __index = _G })))
   local ok, value = pcall(attempt)
   if not ok then
      tf.log("FAILED " .. name .. ": " .. tostring(select(2, pcall(tostring, value))):sub(1, 200))
      error(value, 0)
   end
   if value then tf.log("GOT OUT: " .. text) end
end
"""

# `check` has no packets to show that are not its own.
AT_ONCE = TRY + """
for name in pairs(tf.args) do pcall(try, name, { tf = tf }) end
"""

SCRIPT = TRY + """
local old
local seen = 0
tf.on_packet("udp port 9", function(pkt)
   old = old or pkt
   if pkt.payload:sub(1, 3) == "try" then try(pkt.payload, { tf = tf, pkt = pkt, old = old }) end
end)
-- What a script changes in its own tables is its own matter: dispatch does not use them.
tf.on_packet("udp port 10", function(pkt)
   string.sub, table.insert, pairs, ipairs, type, error, pcall, tostring, bit.band = nil
   for _, t in pairs or next, { math, string, table, coroutine } do for k in next, t do t[k] = function() return 5 end end end
   setmetatable(_G, nil)
end)
tf.on_packet("udp port 9 or udp port 10 or udp port 11", function(pkt)
   seen = seen + 1
   pkt.udp.dport = 4000 + seen % 1000
   return tf.forward
end)
"""


def settings(attempts):
    return [word for i, text in enumerate(attempts) for word in ("--set", "try%d=%s" % (i, text))]


def check_failures(stderr, attempts):
    """Nobody got out, and whoever met an error met one with a reason."""
    assert "GOT OUT" not in stderr, re.findall("GOT OUT.*", stderr)
    failed = dict(re.findall(r"FAILED (try\d+): (.+)", stderr))
    for i, text in enumerate(attempts):
        assert ("try%d" % i in failed) != bool(HARMLESS.match(text)), text
    assert not [reason for reason in failed.values() if len(reason) < 15 and "again" not in reason], failed


def packet(text, dport=9):
    return bytes(IP(src="198.51.100.1", dst="203.0.113.1") / UDP(sport=9, dport=dport) / Raw(text.encode()))


@pytest.mark.parametrize("user", [True, False], ids=["as a user", "as root"])
def test_every_attempt_fails(place, user):
    if not user and harness.os.geteuid() != 0:
        pytest.skip("needs root")
    assert len(ATTEMPTS) >= 40
    with harness.Lab(place, SCRIPT, "--on-error", "forward", "--no-offload", *settings(ATTEMPTS), user=user) as lab:
        for i in range(len(ATTEMPTS)):
            lab.left.send(packet("try%d" % i))
        assert len(lab.right.receive(len(ATTEMPTS), timeout=60)) == len(ATTEMPTS)
        lab.left.send(packet("x", dport=10))
        lab.right.receive(1, timeout=20)
        for i in range(3):  # the last callback sees and changes what it did before
            lab.left.send(packet("x", dport=11))
            out = IP(lab.right.receive(1, timeout=20)[0])
            assert 4000 <= out[UDP].dport < 5000
            again = IP(bytes(out))
            del again[UDP].chksum
            assert IP(bytes(again))[UDP].chksum == out[UDP].chksum
    assert lab.status == 0, lab.stderr
    check_failures(lab.stderr, ATTEMPTS)
    assert "afresh" not in lab.stderr


@pytest.mark.parametrize("user", [True, False], ids=["as a user", "as root"])
def test_every_attempt_fails_without_devices(place, user):
    if not user and harness.os.geteuid() != 0:
        pytest.skip("needs root")
    capture = captures.write(place.path / "attempts.pcap", [packet("x"), *(packet("try%d" % i) for i in range(len(ATTEMPTS)))])
    done = captures.replay(place, SCRIPT, capture, None, "--on-error", "forward", *settings(ATTEMPTS), errors=True, user=user)
    check_failures(done.stderr, ATTEMPTS)
    attempts = [text for text in ATTEMPTS if not re.search(r"\b(pkt|old)\b", text)]
    done = harness.run(place, "check", place.script(AT_ONCE), *settings(attempts), user=user)
    assert done.returncode == 0
    check_failures(done.stderr, attempts)


def test_what_a_terminal_would_obey(place):
    """It reaches none: a command in either encoding, or what turns the direction of writing."""
    bad = r"\194\155[2J \155[2J \27[2J \226\128\174 \226\129\166"
    script = place.script("""
local tf = require "tunfilter"
tf.log("logged %s")
tf.counter("%s")
tf.on_packet(function() error("thrown %s") end)
""" % (bad, bad, bad))
    capture = captures.write(place.path / "terminal.pcap", [packet("x")])
    said = captures.replay(place, script, capture, None, errors=True).stderr
    assert "logged" in said and "thrown" in said and "counter" in said
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffd]", said)
