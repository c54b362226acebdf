"""DNS messages that scapy makes, beside what is in them, as a Lua table; or, with a file of messages in hexadecimal,
one a line, what scapy and tshark read in them."""
import os
import random
import shutil
import string
import struct
import subprocess
import sys
import tempfile

from scapy.layers.dns import DNS, DNSQR, DNSRR, DNSRRMX, DNSRRSOA, DNSRRSRV

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33}
RCODES = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"]
random.seed(7)


def lua(value):
    if isinstance(value, dict):
        return "{%s}" % ",".join("%s=%s" % (key, lua(item)) for key, item in value.items())
    if isinstance(value, list):
        return "{%s}" % ",".join(map(lua, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return '"%s"' % "".join("\\%03d" % byte for byte in value)
    return '"%s"' % value if isinstance(value, str) else str(value)


def name(zones=[]):
    """Most names end in one that was there before."""
    def label():
        return "".join(random.choices(string.ascii_letters + string.digits + "-_", k=random.randint(1, random.choice((8, 8, 63)))))
    made = ".".join([label() for _ in range(random.randint(1, 3))] + ([random.choice(zones)] if zones and random.random() < .7 else []))
    if len(made) > 200:
        return name()
    zones.append(made)
    del zones[:-10]
    return made


def record():
    kind = random.choice([*TYPES, 65300])
    owner, ttl = name(), random.choice((0, 60, random.getrandbits(32)))
    number = random.getrandbits(16)
    fields = {"rrname": owner, "ttl": ttl}  # and the type each time, or scapy takes the record's before it
    if kind == "MX":
        target = name()
        data, made = "%d %s" % (number, target.lower()), DNSRRMX(type=15, preference=number, exchange=target, **fields)
    elif kind == "SRV":
        target = name()
        data = "1 %d 443 %s" % (number, target.lower())
        made = DNSRRSRV(type=33, priority=1, weight=number, port=443, target=target, **fields)
    elif kind == "SOA":
        mname, rname, serial = name(), name(), random.getrandbits(32)
        data = "%s %s %d 1 2 3 4294967295" % (mname.lower(), rname.lower(), serial)
        made = DNSRRSOA(type=6, mname=mname, rname=rname, serial=serial, refresh=1, retry=2, expire=3, minimum=4294967295, **fields)
    else:
        if kind == "A":
            data = given = ".".join(str(random.getrandbits(8)) for _ in range(4))
        elif kind == "AAAA":
            data = given = "2001:db8::%x" % random.randint(1, 65535)
        elif kind in ("NS", "CNAME", "PTR"):
            given = name()
            data = given.lower()
        elif kind == "TXT":
            given = [bytes(random.choices(range(256), k=random.choice((1, 20, 255)))) for _ in range(random.randint(1, 3))]
            data = b"".join(given)
        else:
            data = given = random.randbytes(random.randint(0, 30))
        made = DNSRR(type=TYPES.get(kind, kind), rdata=given, **fields)
    return {"name": owner.lower(), "type": kind, "class": 1, "ttl": ttl, "data": data}, made


def message():
    flags = {flag: random.random() < .5 for flag in ("qr", "aa", "tc", "rd", "ra", "ad", "cd")}
    expected = {"id": random.getrandbits(16), "opcode": random.choice((0, 0, 2, 15)), **flags}
    code = random.choice((0, 0, 3, 5, 11))
    made = DNS(rcode=code, qd=None, **{key: int(value) for key, value in expected.items()})
    expected["rcode"] = RCODES[code] if code < 6 else code
    expected["questions"] = [{"name": name(), "type": random.choice([*TYPES, 65300]), "class": random.choice((1, 3))}
                             for _ in range(random.choice((0, 1, 1, 1, 2)))]
    for question in expected["questions"]:
        kind = TYPES.get(question["type"], question["type"])
        made_question = DNSQR(qname=question["name"], qtype=kind, qclass=question["class"])
        made.qd = made_question if made.qd is None else made.qd / made_question
        question["name"] = question["name"].lower()
    for key, field in (("answers", "an"), ("authorities", "ns"), ("additionals", "ar")):
        expected[key] = []
        for _ in range(random.choice((0, 0, 1, 2, 5))):
            entry, part = record()
            expected[key].append(entry)
            before = getattr(made, field)
            setattr(made, field, part if before is None else before / part)
    return expected, bytes(made), bytes(made.compress())


def sound(compressed, plain):
    """Not with scapy 2.5, which takes some letters for what they are not when it compresses."""
    try:
        return scapy_reads(compressed) == scapy_reads(plain)
    except (struct.error, AttributeError):
        return False


def make(count):
    print("local list = {}")
    made = 0
    while made < count:
        expected, plain, compressed = message()
        if not sound(compressed, plain):
            continue
        made += 1
        print("list[#list + 1] = (function() return { %s, %s, %s } end)()" % (lua(expected), lua(plain), lua(compressed)))
    print("return list")


def chain(first, count):
    found = []
    for _ in range(count):
        found.append(first)
        first = first.payload
    return found


def text(raw):
    return raw.decode("latin-1").rstrip(".").lower() or "."


def scapy_reads(data):
    read = DNS(data)
    out = ["%d %d %d" % (read.id, read.rcode, read.opcode)]
    out += ["%s %d" % (text(q.qname), q.qtype) for q in chain(read.qd, read.qdcount)]
    for part, count in ((read.an, read.ancount), (read.ns, read.nscount), (read.ar, read.arcount)):
        for entry in chain(part, count):
            if entry.type == 15:
                value = "%d %s" % (entry.preference, text(entry.exchange))
            elif entry.type == 33:
                value = "%d %d %d %s" % (entry.priority, entry.weight, entry.port, text(entry.target))
            elif entry.type == 6:
                value = "%s %s %d %d %d %d %d" % (text(entry.mname), text(entry.rname), entry.serial, entry.refresh, entry.retry,
                                                  entry.expire, entry.minimum)
            elif entry.type in (2, 5, 12):
                value = text(entry.rdata)
            elif entry.type in (1, 28):
                value = entry.rdata
            else:
                value = (b"".join(entry.rdata) if isinstance(entry.rdata, list) else entry.rdata).hex()
            out.append("%s %d %d %s" % (text(entry.rrname), entry.type, entry.ttl, value))
    return "|".join(out)


FIELDS = ["_ws.malformed", "dns.id", "dns.qry.name", "dns.resp.name", "dns.resp.type", "dns.resp.ttl", "dns.a", "dns.aaaa", "dns.mx.mail_exchange",
          "dns.srv.target", "dns.ns", "dns.cname", "dns.ptr.domain_name", "dns.soa.mname"]


def tshark_reads(messages):
    with tempfile.NamedTemporaryFile() as file:
        file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 262144, 101))
        for data in messages:
            size = 28 + len(data)
            packet = struct.pack(">BBHHHBBHII", 0x45, 0, size, 0, 0, 64, 17, 0, 0x7f000001, 0x7f000001)
            packet += struct.pack(">HHHH", 53, 53, 8 + len(data), 0) + data
            file.write(struct.pack("<IIII", 0, 0, size, size) + packet)
        file.flush()
        argv = ["tshark", "-n", "-r", file.name, "-T", "fields", "-E", "separator=/t", "-E", "aggregator=,"]
        for field in FIELDS:
            argv += ["-e", field]
        done = subprocess.run(argv, check=True, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    return done.stdout.splitlines()


def read(path):
    messages = [bytes.fromhex(line) for line in open(path, encoding="ascii")]
    print("local list, tshark = {}, {}")
    for data in messages:
        print("list[#list + 1] = (function() return %s end)()" % lua(scapy_reads(data).encode("latin-1")))
    if shutil.which("tshark"):
        for line in tshark_reads(messages):
            print("tshark[#tshark + 1] = (function() return %s end)()" % lua(line.encode()))
    print("return { scapy = list, tshark = tshark }")


if os.path.exists(sys.argv[1]):
    read(sys.argv[1])
else:
    make(int(sys.argv[1]))
