"""tf.nets and tf.names against Python's ipaddress and a plain search."""
import ipaddress
import os
import random
import subprocess

import pytest

TUNFILTER = os.environ.get("TUNFILTER", "build/tunfilter")


def check(folder, rules, status=0):
    path = folder / "rules.lua"
    path.write_text('local tf = require "tunfilter"\n' + rules)
    run = subprocess.run([TUNFILTER, "check", str(path)], capture_output=True, text=True, timeout=120)
    assert run.returncode == status, run.stderr
    return run.stderr if status else [line.partition(" ")[2] for line in run.stderr.splitlines()]


def networks(rng, count):
    made = set()
    while len(made) < count:
        if rng.random() < 0.5:
            base, length = rng.getrandbits(32), rng.choice([0, 1, 8, 9, 15, 16, 17, 24, 24, 31, 32, 32])
            if rng.random() < 0.7:
                base = base & 0xffff | 0x0a4d0000  # many under one beginning
            made.add(ipaddress.ip_network((base, length), strict=False))
        else:
            base, length = rng.getrandbits(128), rng.choice([0, 7, 31, 32, 33, 48, 63, 64, 65, 127, 128])
            if rng.random() < 0.7:
                base = base & (1 << 70) - 1 | 0xfd77 << 112
            made.add(ipaddress.ip_network((base, length), strict=False))
    return sorted(made, key=str)


def near(rng, nets):
    """An address in, or just outside of, one of the networks."""
    net = rng.choice(nets)
    value = int(net.network_address) + rng.choice([-1, 0, net.num_addresses - 1, net.num_addresses])
    bits = net.max_prefixlen
    return type(net.network_address)(value % (1 << bits))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nets_match_as_ipaddress_says(tmp_path, seed):
    rng = random.Random(seed)
    nets = networks(rng, 600)
    if seed != 1:  # without the networks that have everything
        nets = [n for n in nets if n.prefixlen > 1]
    gone = set(rng.sample(nets, 150))
    kept = [n for n in nets if n not in gone]
    addresses = [near(rng, nets) for _ in range(3000)]
    (tmp_path / "nets.txt").write_text("# a list\n\n" + "".join(f"  {n}\t# {i}\r\n" for i, n in enumerate(nets)))
    (tmp_path / "gone.lua").write_text("return {" + ",".join(f'"{n}"' for n in gone) + "}")
    (tmp_path / "ask.lua").write_text("return {" + ",".join(f'"{a}"' for a in addresses) + "}")
    lines = check(tmp_path, """
local nets = tf.nets.load "nets.txt"
tf.log(#nets)
for _, net in ipairs(require "gone") do assert(nets:remove(net)) assert(not nets:remove(net)) end
tf.log(#nets)
for _, address in ipairs(require "ask") do
   local match = nets:match(address)
   assert((match ~= nil) == nets:contains(tf.ip(address)))
   tf.log(address, match)
end
""")
    assert lines[:2] == [str(len(nets)), str(len(kept))]
    answers = dict(line.split("\t") for line in lines[2:])
    for address in addresses:
        inside = [n for n in kept if n.version == address.version and address in n]
        expected = str(max(inside, key=lambda n: n.prefixlen)) if inside else "nil"
        assert answers[str(address)] == expected, address


@pytest.mark.parametrize("seed", [1, 2])
def test_names_match_as_a_search_says(tmp_path, seed):
    rng = random.Random(seed)

    def name():
        return ".".join(rng.choice(["a", "b", "www", "ads", "x-1", "_s", "com"]) for _ in range(rng.randint(1, 5)))

    names = sorted({name() for _ in range(300)})
    gone = set(rng.sample(names, 60))
    kept = set(names) - gone
    asked = sorted({name() for _ in range(2000)} | {"", "a..b", "x" * 300, "com"})
    with open(tmp_path / "names.txt", "w") as file:
        file.write("# hosts\n127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
        for n in names:
            file.write(rng.choice([f"{n}\n", f"0.0.0.0 {n.upper()} # x\n", f"::  {n}. \r\n"]))
    (tmp_path / "gone.lua").write_text("return {" + ",".join(f'"{n}"' for n in gone) + "}")
    (tmp_path / "ask.lua").write_text("return {" + ",".join(f'"{n}"' for n in asked) + "}")
    lines = check(tmp_path, """
local names = tf.names.load "names.txt"
tf.log(#names)
for _, name in ipairs(require "gone") do assert(names:remove(name)) assert(not names:remove(name)) end
assert(names:add "new.example" and not names:add "NEW.example." and names:remove "new.example")
for _, name in ipairs(require "ask") do
   local match = names:match(name:upper() .. ".")
   assert((match ~= nil) == names:contains(name))
   tf.log(name, match)
end
""")
    assert lines[0] == str(len(names))
    answers = dict(line.split("\t") for line in lines[1:])
    for n in asked:
        labels = n.split(".")
        above = [".".join(labels[i:]) for i in range(len(labels))] if len(n) < 254 else []
        assert answers[n] == next((a for a in above if a in kept), "nil"), n


@pytest.mark.parametrize("rules, message", [
    ('tf.nets{ "10.0.0.0/33" }', "rules.lua:2: tf.net: \"10.0.0.0/33\" is not a network"),
    ('tf.nets.load "none.txt"', "none.txt: No such file"),
    ('tf.nets.load "/etc/passwd"', "a file beside the script"),
    ('tf.names.load "../../etc/passwd"', "a file beside the script"),
    ('tf.nets.load "bad.txt"', "line 2 of"),
    ('tf.names.load "bad.txt"', "line 1 of"),
    ('tf.names{ "a b" }', "'a b' is no domain name"),
    ('tf.nets{}:contains(5)', "expected an IP address, got 5"),
    ('tf.nets.contains()', "has no member 'contains'"),
    ('tf.nets{}.x = 1', "no members to set"),
    ('local l = tf.nets{} l.contains(tf.names{}, "1.2.3.4")', "call it as nets:contains"),
])
def test_mistakes(tmp_path, rules, message):
    (tmp_path / "bad.txt").write_text("10.0.0.1\n10.0.0.x # a name, but no network\nwhat is this\n")
    text = check(tmp_path, rules, status=1)
    assert message in text, text


def test_many_lists_are_given_back(tmp_path):
    check(tmp_path, "for i = 1, 3000 do local set = tf.nets{ '10.0.0.0/8' } assert(#set == 1) end")


def test_what_is_removed_takes_no_memory_and_the_rest_stays(tmp_path):
    """A million names of 240 bytes come and go."""
    path = tmp_path / "rules.lua"
    path.write_text("""local tf = require "tunfilter"
local names, long = tf.names{}, ("x"):rep(60) .. "." .. ("y"):rep(60) .. "." .. ("z"):rep(60) .. "." .. ("w"):rep(50)
for i = 1, 1000000 do
   local name = i .. "." .. long
   assert(names:add(name))
   if i % 10000 ~= 0 then assert(names:remove(name)) end
end
assert(#names == 100)
for i = 1, 1000000, 999 do assert(names:contains(i .. "." .. long) == (i % 10000 == 0)) end
for i = 10000, 1000000, 10000 do assert(names:match("a." .. i .. "." .. long) == i .. "." .. long) end
""")
    options = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
    command = [TUNFILTER, "check", "--time-limit", "0", str(path)]  # seconds, with a sanitizer
    with subprocess.Popen(command, env={**os.environ, "ASAN_OPTIONS": options}) as run:
        _, status, used = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    assert run.returncode == 0
    assert used.ru_maxrss < 150000  # KiB; the names' text alone was 240 MB
