"""ClientHellos that OpenSSL makes, as a Lua table: the stream's bytes, and the server name that tshark finds in them."""
import os
import shutil
import ssl
import struct
import subprocess
import tempfile


def hello(name, protocols=(), version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if protocols:
        context.set_alpn_protocols(protocols)
    if version:
        context.minimum_version = context.maximum_version = version
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()


def records(handshake, size):
    parts = [handshake[i : i + size] for i in range(0, len(handshake), size)]
    return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(part)) + part for part in parts)


def name_last(stream):
    """The same hello with server_name behind all other extensions, as browsers that shuffle have it at times."""
    handshake = stream[5:]
    at = 39 + handshake[38]
    at += 2 + struct.unpack_from(">H", handshake, at)[0]
    at += 1 + handshake[at]
    head, at, extensions = handshake[: at + 2], at + 2, []
    while at < len(handshake):
        size = 4 + struct.unpack_from(">H", handshake, at + 2)[0]
        extensions.append(handshake[at : at + size])
        at += size
    extensions.sort(key=lambda extension: extension[:2] == b"\0\0")
    return records(head + b"".join(extensions), 16384)


def tshark(streams, segment):
    """What tshark finds in each stream, in segments of that many bytes."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 262144, 101))
        for number, stream in enumerate(streams):
            for at in range(0, len(stream), segment):
                part = stream[at : at + segment]
                packet = struct.pack(">BBHHHBBHII", 0x45, 0, 40 + len(part), 0, 0, 64, 6, 0, 0x0a000001, 0x0a000002)
                packet += struct.pack(">HHIIBBHHH", 1024 + number, 443, 1000 + at, 1, 0x50, 0x18, 8192, 0, 0) + part
                file.write(struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet)
        file.flush()
        argv = ["tshark", "-n", "-r", file.name, "-Y", "tls.handshake.type == 1", "-T", "fields", "-E", "separator=/s",
                "-e", "tcp.srcport", "-e", "tls.handshake.extensions_server_name"]
        lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
    return {int(line.split()[0]) - 1024: (line.split() + [""])[1] for line in lines}


many = ["protocol-%03d-%s" % (i, "x" * 40) for i in range(70)]  # 3.9 kB of them
plain = [
    ("www.example.org", {}), (None, {}), ("WWW.Example.ORG", {"protocols": ["h2", "http/1.1"]}),
    ("old.example", {"version": ssl.TLSVersion.TLSv1_2}), (None, {"version": ssl.TLSVersion.TLSv1_2, "protocols": ["x"]}),
    ("a" * 60 + "." + "b" * 63 + "." + "c" * 63 + "." + "d" * 50, {}), ("big.example", {"protocols": many}),
    ("xn--bcher-kva.example", {"version": ssl.TLSVersion.TLSv1_3}),
]
cases = []
for name, options in plain:
    made = hello(name, **options)
    forms = [made]
    if name:
        forms += [name_last(made)]
    forms += [records(forms[-1][5:], size) for size in (100, 7)]
    cases += [(name, options.get("protocols", []), form) for form in forms]

streams = [stream for _, _, stream in cases]
found = {size: tshark(streams, size) for size in (20000, 1460, 500)} if shutil.which("tshark") else {}
print("local list = {}")
for number, (name, protocols, stream) in enumerate(cases):
    names = {table.get(number) for table in found.values()}
    said = names.pop() if len(names) == 1 else ""
    print("list[#list + 1] = { name = %s, alpn = {%s}, tshark = %s, bytes = '%s' }" % (
        '"%s"' % name.lower() if name else "nil", ",".join('"%s"' % protocol for protocol in protocols),
        '"%s"' % said.lower() if said else "nil", "".join("\\%03d" % byte for byte in stream)))
print("return { list = list, tshark = %s }" % str(bool(found)).lower())
