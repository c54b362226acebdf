"""Memory that the system refuses to any part of the program, whoever in it asks: LuaJIT, libuv, libpcap, libmnl, libc."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import harness

pytestmark = pytest.mark.skipif(not shutil.which("gcc") or bool(harness.SANITIZED),
                                reason="needs gcc, and no sanitizer with an allocator of its own")

ALL = bool(os.environ.get("TUNFILTER_REFUSE_ALL"))  # every request, not some
SYSTEM = 3
RULES = """local tf = require "tunfilter"
local netem = require "tunfilter.netem"
local nets, names, held = tf.nets{ "10.0.0.0/8", "fd00::/8" }, tf.names{ "example.org" }, nil
tf.keep.loads = (tf.keep.loads or 0) + 1
tf.flow.keep = true
tf.on_packet("icmp", function(pkt)
   local flow = tf.flow(pkt)
   flow.count = (flow.count or 0) + 1
   nets:contains(pkt.ip.src) nets:add(pkt.ip.dst) names:add(flow.count .. ".example.org")
   held = pkt:copy()
   pkt.payload = pkt.payload .. ("x"):rep(20)
   pkt.payload = pkt.payload:sub(1, -21)
end)
tf.on_packet("icmp and ip[8] > 3", function(pkt) return pkt:hold(0.001) end)
tf.on_packet("udp", netem{ delay = 0.01, rate = "1mbit" })
tf.every(0.01, function() tf.send(tf.right, tf.packet{ ip = { src = "10.77.0.9", dst = "10.77.0.8" }, udp = {} }) end)
"""
BEFORE = "ping -q -c 3 -i 0.01 -s 1000 -w 20 10.77.0.2 >/dev/null"
RELOAD = "printf '\\n' >>%s; ping -q -c 40 -i 0.02 -s 1000 10.77.0.2 >/dev/null"
AFTER = "ping -q -c 1 -w 20 10.77.0.2 >/dev/null"

# The lab, the supervisor, and what it starts: one process that reads the script, the worker, with a reload's trial and
# the next worker. Between two requests that are refused, so many are not.
STEPS = {"0": 7, "01": 11, "011": 23, "012": 61, "013": 67, "014": 71}


@pytest.fixture(scope="module", name="library")
def build_library(tmp_path_factory):
    path = tmp_path_factory.mktemp("refuse") / "refuse.so"
    source = Path(__file__).with_name("refuse.c")
    subprocess.run(["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", path, source, "-ldl"], check=True)
    return path


def attempt(place, library, who, first, last):
    """Runs a lab that has this refused. Whether there was anything to refuse."""
    rules = place.script(RULES)
    rules.chmod(0o666)
    command = "; ".join([BEFORE, RELOAD % rules, AFTER] if who > "011" else [BEFORE, AFTER])
    done = harness.run(place, "lab", rules, "--capture", "out.pcapng", "--", "sh", "-c", command,
                       prefix=["env", "LD_PRELOAD=%s" % library, "TF_REFUSE=%s:%d:%d" % (who, first, last)])
    what = "%s:%d:%d: status %d\n%s" % (who, first, last, done.returncode, done.stderr)
    if done.returncode != 0:
        assert done.returncode in (1, SYSTEM), what
        assert re.search("^tunfilter: error: ", done.stderr, re.M), what
        assert "ended by signal" not in done.stderr or "the worker was ended by signal" in done.stderr, what
    else:
        assert harness.tables(done.stderr), what
    print(what if done.returncode or re.search("error|warning", done.stderr) else "%s:%d fine" % (who, first))
    return "refused\n" in done.stderr


@pytest.mark.parametrize("who", STEPS)
def test_one_request_is_refused(place, library, who):
    """It goes on, or ends with a sentence; once packets have passed, they pass again."""
    library = place.file("refuse.so", library.read_bytes())
    first = 1
    while attempt(place, library, who, first, first):
        first += 1 if ALL else STEPS[who]
    assert first > 1 or who == "014"
