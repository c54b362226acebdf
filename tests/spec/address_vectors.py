"""Spellings of addresses and networks, and what Python's ipaddress makes of them, as a Lua table."""
import ipaddress
import random
import socket

random.seed(7)


def lua(x):
    if x is None:
        return "false"
    if isinstance(x, bool):
        return "true" if x else "false"
    if isinstance(x, int):
        return str(x)
    if isinstance(x, str):
        return '"' + "".join("\\%03d" % b for b in x.encode()) + '"'
    if isinstance(x, dict):
        return "{" + ",".join(f"[{lua(k)}]={lua(v)}" for k, v in x.items()) + "}"
    return "{" + ",".join(lua(i) for i in x) + "}"


def canonical(address):
    # Python 3.13 and the C library print IPv4-mapped addresses with dots, older Pythons do not.
    if address.version == 6 and address.ipv4_mapped is not None:
        return socket.inet_ntop(socket.AF_INET6, address.packed)
    return str(address)


def read(text):
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return [text, None, None]
    return [text, address.version, canonical(address)]


def spelled(groups):
    """One of many ways to write eight groups."""
    style = random.choice(["%x", "%04x", "%X", "%04X"])
    words = [style % g for g in groups]
    runs = [(i, j) for i in range(8) for j in range(i + 1, 9) if not any(groups[i:j])]
    text = ":".join(words)
    if runs and random.random() < 0.7:
        i, j = random.choice(runs)
        text = ":".join(words[:i]) + "::" + ":".join(words[j:])
    if random.random() < 0.2:
        last = ".".join(str(b) for b in divmod(groups[6], 256) + divmod(groups[7], 256))
        head = words[:6]
        runs = [(i, j) for i in range(6) for j in range(i + 1, 7) if not any(groups[i:j])]
        if runs:
            i, j = random.choice(runs)
            text = ":".join(head[:i]) + "::" + "".join(w + ":" for w in head[j:]) + last
        else:
            text = ":".join(head) + ":" + last
    return text


texts = """1.2.3.4 0.0.0.0 255.255.255.255 256.1.1.1 1.2.3 1.2.3.4.5 01.2.3.4 1.2.3.04 1.2.3.4. .1.2.3.4 1..2.3
 1.2.3.-4 1.2.3.4/8 1.2.3.1000 0x1.2.3.4 :: ::1 1:: 1::2 ::ffff:1.2.3.4 ::ffff:0:1.2.3.4 ::1.2.3.4 ::2 0:0:0:0:0:0:0:0
 1:2:3:4:5:6:7:8 1:2:3:4:5:6:7 1:2:3:4:5:6:7:8:9 1:2:3:4:5:6:7:: ::2:3:4:5:6:7:8 1::3:4:5:6:7:8 1:2:3:4:5:6:7:8::
 ::1:2:3:4:5:6:7:8 1:::2 1::2::3 : ::: 1: :1 12345:: g:: 1:2:3:4:5:6:1.2.3.4 1:2:3:4:5:6:7:1.2.3.4 1:2:3:4:5:1.2.3.4
 ::1.2.3 ::1.2.3.256 1.2.3.4:: ::1.2.3.4:1 fe80::1:0:0:1 1:0:0:2:0:0:0:3 1:0:2:0:3:0:4:0 0:1:: 1:0:0:0:2:0:0:0 ::ffff:0:0
 ABCD:EF01::1 ::FFFF:102:304 2001:db8::0:1 2001:db8:0:0:1:0:0:1 +1.2.3.4 1.2.3.4%eth0 x localhost 1 0 [::1]""".split()
texts += ["", " ", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4\n", "::1\0", "\u0661.2.3.4", "1,2.3.4"]
addresses = [read(t) for t in texts]
for _ in range(300):
    groups = [random.choice([0, 0, 1, random.randrange(65536)]) for _ in range(8)]
    addresses.append(read(spelled(groups)))
    addresses.append(read(str(ipaddress.IPv4Address(random.getrandbits(32)))))

networks = []
for text in """10.0.0.0/8 10.1.2.3/8 0.0.0.0/0 1.2.3.4/32 1.2.3.4 1.2.3.4/33 1.2.3.4/ 1.2.3.4/-1 1.2.3.4/a /8 ::/0
 fd77::1/64 fd77::1 ::1/128 ::1/129 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/65 1.2.3.0/24/8 10.0.0.0/08x""".split() + [
    f"{ipaddress.IPv4Address(random.getrandbits(32))}/{n}" for n in range(33)
] + [f"{ipaddress.IPv6Address(random.getrandbits(128))}/{n}" for n in range(129)]:
    try:
        net = ipaddress.ip_network(text, strict=False)
    except ValueError:
        networks.append([text, None, None, None])
        continue
    first, last = int(net.network_address), int(net.broadcast_address)
    make = ipaddress.IPv4Address if net.version == 4 else ipaddress.IPv6Address
    inside = {}
    for n in (first, last, first - 1, last + 1, random.randint(first, last), random.getrandbits(net.max_prefixlen)):
        if 0 <= n < 2**net.max_prefixlen:
            inside[str(make(n))] = make(n) in net
    networks.append([text, str(net), net.prefixlen, inside])

print("return { addresses =", lua(addresses), ", networks =", lua(networks), "}")
