"""Which callbacks a packet comes to, by a model: few, which are one chain, and many, which C chooses (src/choose.h)."""

import random
import re

import pytest
from scapy.all import ICMP, IP, TCP, UDP

import captures

PORTS = range(1, 6)


def made(chance):
    """A callback: what selects packets, and what it does with them."""
    if chance.random() < 0.6:
        selects = ("udp",)
    else:
        selects = chance.choice([("dst", chance.choice(PORTS)), ("range", 2, 4), ("tcp",), ("icmp",), ()])
    does = chance.choices([("nothing",), ("port", chance.choice(PORTS)), ("drop",), ("forward",), ("throw",)], [80, 10, 1, 1, 1])[0]
    return selects, does


def expression(selects):
    return {"dst": "udp dst port %d", "range": "udp dst portrange %d-%d", "udp": "udp", "tcp": "tcp", "icmp": "icmp",
            }[selects[0]] % selects[1:]


def lua(callbacks):
    body = {"nothing": "", "port": "if pkt.udp then pkt.udp.dport = %d end", "drop": "return tf.drop",
            "forward": "return tf.forward", "throw": "error 'thrown'"}
    lines = ['local tf = require "tunfilter"', "local seen = {}", "local function note(i, pkt)",
             "   local n = pkt.number", "   seen[n] = (seen[n] or '') .. i .. ' '", "end"]
    for i, (selects, does) in enumerate(callbacks, 1):
        first = '"%s", ' % expression(selects) if selects else ""
        lines.append("tf.on_packet(%sfunction(pkt) note(%d, pkt) %s end)" % (first, i, body[does[0]] % does[1:]))
    lines.append("tf.on_stop(function() for n = 1, 1000 do if seen[n] then print('seen ' .. n .. ': ' .. seen[n]) end end end)")
    return "\n".join(lines)


def expected(callbacks, proto, port):
    """The numbers of the callbacks that see a packet, and its port at the end, or None if it is dropped."""
    seen = []
    for i, (selects, does) in enumerate(callbacks, 1):
        udp = proto == "udp"
        takes = {"dst": udp and port in selects[1:], "range": udp and 2 <= port <= 4}
        if selects and not takes.get(selects[0], proto == selects[0]):
            continue
        seen.append(i)
        if does[0] == "port" and udp:
            port = does[1]
        elif does[0] in ("drop", "throw"):
            return seen, None
        elif does[0] == "forward":
            break
    return seen, port


@pytest.mark.parametrize("count", [9, 20, 70])
def test_against_a_model(place, tmp_path, count):
    for seed in range(3):
        chance = random.Random(count * 10 + seed)
        callbacks = [made(chance) for _ in range(count)]
        packets = [(chance.choice(["udp", "udp", "udp", "tcp", "icmp"]), chance.choice(PORTS)) for _ in range(300)]
        layers = {"udp": lambda port: UDP(sport=1, dport=port), "tcp": lambda port: TCP(sport=1, dport=port), "icmp": lambda _: ICMP()}
        source = captures.write(tmp_path / "in.pcap", [
            bytes(IP(src="10.0.0.1", dst="10.0.0.2", id=n) / layers[proto](port)) for n, (proto, port) in enumerate(packets, 1)])
        done = captures.replay(place, lua(callbacks), source, tmp_path / "out.pcap", errors=True, user=False)
        seen, left = {}, []
        for n, (proto, port) in enumerate(packets, 1):
            numbers, end = expected(callbacks, proto, port)
            if numbers:
                seen[n] = numbers
            if end is not None:
                left.append((n, end if proto == "udp" else None))
        told = {int(n): list(map(int, text.split())) for n, text in re.findall(r"seen (\d+): ([\d ]*)", done.stderr)}
        assert told == seen
        out = [IP(data) for data in captures.raw(tmp_path / "out.pcap")]
        assert [(packet.id, packet[UDP].dport if UDP in packet else None) for packet in out] == left


@pytest.mark.parametrize("number", [1, 2, 15, 16, 17, 18, 19, 30])
def test_one_throws_while_the_jit_begins(place, tmp_path, number):
    """The first packets are for finding the loop that is to be compiled; after an error there the JIT is on."""
    source = captures.write(tmp_path / "in.pcap", [bytes(IP(src="10.0.0.1", dst="10.0.0.2", id=n) / UDP()) for n in range(1, 41)])
    rules = """local tf = require "tunfilter"
    tf.on_packet(function(pkt)
       if pkt.number == %d then error "thrown" end
       if pkt.number == %d then print(jit.status() and "it is on" or "it is off") end
    end)""" % (number, number + 1)
    done = captures.replay(place, rules, source, tmp_path / "out.pcap", "--unsafe", errors=True, user=False)
    assert [IP(data).id for data in captures.raw(tmp_path / "out.pcap")] == [n for n in range(1, 41) if n != number]
    assert "it is on" in done.stderr
