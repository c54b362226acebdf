"""tunfilter.stream between kernels: downloads that are changed on their way arrive as sed would have made them."""

import hashlib
import random
import subprocess
import sys

import pytest

import harness

STREAM = """
local tf = require "tunfilter"
local stream = require "tunfilter.stream"
tf.on_packet("tcp port 8000", stream.replace{ tf.args.old, tf.args.new, from = tf.right, http = true })
"""

# 1% is lost and some packets are late, in both directions.
BAD = """
local tf = require "tunfilter"
tf.on_packet("tcp", function(pkt)
   local fate = tf.random()
   if fate < 0.01 then return tf.drop end
   if fate < 0.04 then return pkt:hold(0.0005 + tf.random() * 0.003) end
end)
"""

# Four hosts in a row, and a filter between each two: client, bad link, stream, bad link, server.
CHAIN = """
set -e
program=$1 bad=$2 stream=$3 old=$4 new=$5 site=$6 url=$7 result=$8 python=$9
for host in client one two server; do
   unshare -n sleep 1000 &
   eval "$host=$!"
done
sleep 0.2
on() { pid=$1; shift; nsenter -t "$pid" -n -- "$@"; }
link() {  # rules, number, left host, right host, options
   rules=$1 n=$2 left=$3 right=$4; shift 4
   "$program" run "$rules" -q "$@" \\
      --left "tun:l$n,netns=$left,address=10.78.$n.1/24,address=fd78:$n::1/64" \\
      --right "tun:r$n,netns=$right,address=10.78.$n.2/24,address=fd78:$n::2/64" &
}
link "$bad" 1 "$client" "$one" --seed 1
link "$stream" 2 "$one" "$two" --set "old=$old" --set "new=$new"
link "$bad" 3 "$two" "$server" --seed 3
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
   on "$two" ip link show l3 2>&1 | grep -q LOWER_UP && on "$two" ip link show r2 2>&1 | grep -q LOWER_UP &&
      on "$one" ip link show r1 2>&1 | grep -q LOWER_UP && break
   sleep 0.2
done
for host in $one $two; do
   on "$host" sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'
done
for v in -4 -6; do
   on "$client" ip $v route add default dev l1
   on "$one" ip $v route add default dev l2
   on "$two" ip $v route add default dev r2
   on "$server" ip $v route add default dev r3
done
on "$server" "$python" -m http.server 8000 --bind :: --directory "$site" >/dev/null 2>&1 &
on "$client" curl -gsS -m 100 --retry 20 --retry-connrefused --retry-delay 1 -o "$result" "$url"
"""


def text(size, seed):
    source = random.Random(seed)
    words = ["needle", "need", "nee", "n", "needles", "the", "hay", "stack", "of", "neeneedle"]
    lines, length = [], 0
    while length < size:
        line = " ".join(source.choices(words, k=source.randrange(1, 60)))
        lines.append(line)
        length += len(line) + 1
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def site(session_place):
    """A folder to serve with 20 MB in it; a tenth with a sanitizer, which takes its time."""
    session_place.file("big/page", text(2_000_000 if harness.SANITIZED else 20_000_000, 1))
    return session_place.path / "big"


def sed(site, old, new):
    done = subprocess.run(["sed", "s/%s/%s/g" % (old, new), site / "page"], stdout=subprocess.PIPE, check=True)
    return hashlib.sha256(done.stdout).hexdigest()


def through_chain(place, site, new, host):
    result = place.path / "result"
    result.unlink(missing_ok=True)
    place.file("result", "").chmod(0o666)
    # Process 1 of a namespace of their own: when it ends, so do the filters and the server.
    prefix = [*harness.IN_NAMESPACE, "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", CHAIN, "sh"]
    done = harness.run(place, place.script(BAD), place.script(STREAM), "needle", new, site,
                       "http://%s:8000/page" % host, result, sys.executable, prefix=prefix)
    assert done.returncode == 0, done.stdout + done.stderr
    return hashlib.sha256(result.read_bytes()).hexdigest()


@pytest.mark.parametrize("new", ["a longer replacement", "pin", ""])
@pytest.mark.parametrize("host", ["10.78.3.2", "[fd78:3::2]"])
def test_a_download_over_bad_links(place, site, new, host):
    assert through_chain(place, site, new, host) == sed(site, "needle", new)


@pytest.mark.parametrize("kind", ["tun", "tap"])
def test_a_download_in_a_lab(place, site, kind):
    options = ["--left", kind, "--right", kind, "--set", "old=needle", "--set", "new=a longer replacement", "--on-right",
               "exec %s -m http.server 8000 --bind :: --directory %s >&2" % (sys.executable, site)]
    fetch = "curl -sSf -m 60 right:8000/page | sha256sum"
    done = harness.run_lab(place, STREAM, "sh", "-c", fetch, options=options)
    assert done.stdout.split()[:1] == [sed(site, "needle", "a longer replacement")], done.stderr


def test_netem_behind_it(place, site):
    rules = STREAM + """
        local netem = require "tunfilter.netem"
        tf.on_packet{ from = tf.left, netem{ loss = 0.01, delay = 0.001, jitter = 0.001 } }
        tf.on_packet{ from = tf.right, netem{ loss = 0.01, delay = 0.001, jitter = 0.001 } }
    """
    options = ["--set", "old=needle", "--set", "new=pins and needles", "--on-right",
               "exec %s -m http.server 8000 --bind :: --directory %s >&2" % (sys.executable, site)]
    done = harness.run_lab(place, rules, "sh", "-c", "curl -sSf -m 100 right:8000/page | sha256sum", options=options)
    assert done.stdout.split()[:1] == [sed(site, "needle", "pins and needles")], done.stderr


def test_a_conversation_that_stops_at_what_may_be_a_word(place):
    """Nothing is lost, and nobody waits for ever, when the last byte could be a word's first."""
    rules = """
        local tf = require "tunfilter"
        local stream = require "tunfilter.stream"
        tf.on_packet("tcp port 7000", stream.replace{ "needle", "pins and needles", from = tf.right })
    """
    server = """
import socket
s = socket.create_server(("10.77.0.2", 7000))
c = s.accept()[0]
for line in c.makefile("rb"):
    c.sendall(line.rstrip())
"""
    client = """
import socket, sys, time
for _ in range(100):
    try:
        c = socket.create_connection(("right", 7000), 20)
        break
    except OSError:
        time.sleep(0.1)
c.settimeout(20)
for word in (b"hello", b"plain nee", b"needle", b"x n"):
    c.sendall(word + b"\\n")
    wanted, got = word.replace(b"needle", b"pins and needles"), b""
    while len(got) < len(wanted):
        got += c.recv(100)
    assert got == wanted, got
print("fine")
"""
    place.file("server.py", server)
    done = harness.run_lab(place, rules, sys.executable, place.file("client.py", client),
                           options=["--on-right", "exec %s %s" % (sys.executable, place.path / "server.py")])
    assert done.stdout == "fine\n", done.stderr
