"""What a script may not do, and what it can do to the program: nothing, however hard it tries."""

import re

import pytest
from scapy.layers.inet import IP, TCP
from scapy.utils import wrpcap

import harness

# What a script finds; whoever adds a name here says why a script may have it.
GLOBALS = """_G _VERSION assert bit collectgarbage coroutine debug error getmetatable io ipairs load loadstring math next
os pairs pcall print rawequal rawget rawlen rawset require select setmetatable string table tonumber tostring type
unpack xpcall""".split()
LIBRARIES = {
    "debug": ["traceback"],
    "io": ["write"],
    "os": ["clock", "date", "difftime", "time"],
    "coroutine": ["create", "isyieldable", "resume", "running", "status", "wrap", "yield"],
    "string": "byte char find format gmatch gsub len lower match rep reverse sub upper".split(),
}


def names(place, table):
    """The keys that a script sees in a table of its own."""
    script = place.script("for name in pairs(%s) do io.write('=', name, '\\n') end" % table)
    done = harness.run(place, "check", "-q", script)
    assert done.returncode == 0, done.stderr
    return {line[1:] for line in done.stdout.splitlines() if line.startswith("=")}


def test_globals(place):
    assert names(place, "_G") | {"rawlen"} == set(GLOBALS)


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries(place, library):
    assert names(place, library) <= set(LIBRARIES[library])


# Each is true, or the script does not load.
@pytest.mark.parametrize("claim", [
    "string.dump == nil and ('x').dump == nil",
    "type(getmetatable('')) == 'string'",
    "type(getmetatable(tf)) == 'string' and type(getmetatable(tf.left)) == 'string'",
    "type(getmetatable(tf.drop)) == 'string' and type(getmetatable(tf.ip '::1')) == 'string'",
    "type(getmetatable(tf.packet{ ip = {} })) == 'string'",
    "type(getmetatable(tf.packet{ ip = {} }.ip)) == 'string'",
    "not pcall(setmetatable, '', {}) and not pcall(setmetatable, tf, {}) and not pcall(setmetatable, tf.drop, {})",
    # bytecode, whole or in pieces
    "load('\\27LJ\\2\\0') == nil and loadstring('\\27LJ\\2\\0') == nil and load('\\27LJ\\2\\0', 'x', 'b') == nil",
    "(function() local pieces = { '\\27LJ', '\\2\\0' } return load(function() return table.remove(pieces, 1) end) == nil end)()",
    "load('return 1 + ...')(2) == 3 and load(function() end) ~= nil and load('x = 5', 'x', 't', {})() == nil and x == nil",
    # an environment that is no table would be the library's own
    *["not pcall(load, 'x = 1', 'x', 't', %s)" % value for value in ("true", "5", "'s'", "print", "1LL", "tf.ip '::1'", "false",
                                                                   "coroutine.create(print)")],
    *["not pcall(require, '%s')" % name for name in (
        "ffi", "jit", "jit.util", "string.buffer", "table.new", "io", "os", "debug", "package", "tunfilter.core",
        "tunfilter.sandbox", "../secret", "/etc/passwd", "sub/../secret", "..", ".", "", "x\\0y")],
])
def test_no_way_out(place, claim):
    place.file("secret.lua", "return 1")
    script = place.file("inside/rules.lua", 'local tf = require "tunfilter"\nassert(%s)\n' % claim)
    done = harness.run(place, "check", "-q", script)
    assert done.returncode == 0, done.stderr


# Recursion through C's stack, which would end the program; and what else has no end.
@pytest.mark.parametrize("text", [
    "local function f() return 1 + f() end",
    "local function g() return 1 + g() end local function f() assert(xpcall(g, debug.traceback)) end",
    "local function f() return (('x'):gsub('.', f)) end",
    "local function f() return ('x').gsub('x', '.', coroutine.wrap(f)) end",
    "local function f() return coroutine.wrap(f)() end",
    "local function f() return assert(coroutine.resume(coroutine.create(f))) end",
    "local function f() table.sort({ 1, 2, 3 }, f) return false end",
    "local function f() assert(load(f)) end",
    "local t = setmetatable({}, { __tostring = function(t) print(t) return '' end }) local function f() print(t) end",
    "local t = setmetatable({}, { __tostring = function(t) return ('%s'):format(t) end }) local function f() print(t) end",
    "local t t = setmetatable({}, { __tostring = function() error(t) end }) local function f() error(t) end",
    "local function f() return ('a'):rep(300000):find(('a?'):rep(300000)) end",
    "local function f() return unpack({}, 1, 1e8) end",
    "local function f() coroutine.yield(1) end",
])
def test_a_callback_that_goes_too_far(place, lab, text):
    """It is an error like any other, also where one is caught, and the packets behind it pass."""
    rules = """
    local tf = require "tunfilter"
    %s
    assert(not pcall(f))
    tf.on_packet(function(pkt) if pkt.number %% 2 == 1 then f() end end)
    """ % text
    packet = bytes.fromhex("45000014000000004000000001010101020202020000")[:20]
    with lab(rules, "--time-limit", "0") as running:
        for _ in range(4):
            running.left.send(packet)
        assert len(running.right.receive(2, timeout=60)) == 2  # LuaJIT takes seconds for some
    assert running.status == 0, running.stderr
    assert running.table()["errors"] == [2, 0] and running.table()["forwarded"] == [2, 0]


# What a function given to stream.rewrite does beside its work, and the error that it meets.
@pytest.mark.parametrize("act, error", [
    ("coroutine.yield()", "yield"),
    ("now.payload = ''", "changed the packet itself"),
    ("now.ip.proto = 17", "changed the packet itself"),
])
def test_an_editor_is_never_left_half_way(place, act, error):
    """It is called while the library has the packet at hand: in a later batch that would be another's."""
    script = place.script("""
        local tf, stream = require "tunfilter", require "tunfilter.stream"
        local now
        local edit = stream.rewrite{ function(text) %s return text .. text end, from = tf.left }
        tf.on_packet("tcp", function(pkt)
           now = pkt
           print(coroutine.resume(coroutine.create(edit), pkt))
        end)""" % act)
    packets = [IP(src=a, dst=b) / TCP(sport=p, dport=q, seq=s, ack=k, flags=f) / data for a, b, p, q, s, k, f, data in [
        ("10.0.0.1", "10.0.0.2", 5000, 80, 10, 0, "S", b""), ("10.0.0.2", "10.0.0.1", 80, 5000, 20, 11, "SA", b""),
        ("10.0.0.1", "10.0.0.2", 5000, 80, 11, 21, "A", b""), ("10.0.0.1", "10.0.0.2", 5000, 80, 11, 21, "PA", b"word")]]
    wrpcap(str(place.path / "in.pcap"), packets)
    done = harness.run(place, "replay", script, "in.pcap", "--left-net", "10.0.0.1/32")
    assert done.returncode == 0 and re.search(r"false\t.*%s" % error, done.stdout + done.stderr), done
