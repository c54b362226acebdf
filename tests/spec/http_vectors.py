"""Requests that http.client writes, answers that http.server writes, and heads with folded lines and odd line ends as
http.client reads them: a Lua table."""
import http.client
import http.server
import io
import random
import re

random.seed(5)
TOKEN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"
LETTERS = "".join(map(chr, range(32, 127))) + "\t"


def lua(value):
    if isinstance(value, dict):
        return "{%s}" % ",".join("[%s]=%s" % (lua(key), lua(item)) for key, item in value.items())
    if isinstance(value, str):
        value = value.encode("latin-1")
    if isinstance(value, bytes):
        return '"%s"' % "".join("\\%03d" % byte for byte in value)
    return str(value)


def token():
    return "".join(random.choices(TOKEN, k=random.randint(1, 12)))


def value():
    return "".join(random.choices(LETTERS, k=random.choice((0, 1, 10, 40)))).strip(" \t")


class Socket:
    """What is sent is kept."""

    def __init__(self, received=b""):
        self.sent, self.received = b"", received

    def sendall(self, data):
        self.sent += data

    def makefile(self, *_):
        return io.BytesIO(self.received)


def joined(pairs):
    found = {}
    for name, text in pairs:
        text = re.sub(r"[ \t]*\r?\n[ \t]+", " ", text).strip(" \t")
        name = name.lower()
        found[name] = found[name] + ", " + text if name in found else text
    return found


def request():
    connection = http.client.HTTPConnection("example.test")
    connection.sock = Socket()
    method = random.choice(["GET", "POST", "HEAD", "OPTIONS", "M-SEARCH", "x"])
    target = "/" + "".join(random.choices("abc/?&=%20.", k=random.randint(0, 200)))
    pairs = [("Host", "example.test"), ("Accept-Encoding", "identity")]
    connection.putrequest(method, target)
    for _ in range(random.randint(0, 20)):
        pairs.append((token(), value()))
        connection.putheader(*pairs[-1])
    body = random.randbytes(random.choice((0, 100)))
    connection.endheaders(body)
    return connection.sock.sent, {"method": method, "target": target, "version": "1.1", "headers": joined(pairs), "body": body}


class Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self):
        self.wfile = io.BytesIO()
        self.request_version, self.requestline, self.close_connection = "HTTP/1.1", "", False
        self.protocol_version = random.choice(["HTTP/1.0", "HTTP/1.1"])

    def log_message(self, *_):
        pass


def answer():
    handler = Handler()
    status = random.choice([*http.HTTPStatus]).value
    reason = random.choice([None, "", value()])
    handler.send_response(status, reason)
    pairs = []
    for _ in range(random.randint(0, 20)):
        pairs.append((token(), value()))
        handler.send_header(*pairs[-1])
    handler.end_headers()
    body = random.randbytes(random.choice((0, 100)))
    made = handler.wfile.getvalue()
    if reason is None:
        reason = http.HTTPStatus(status).phrase
    own = re.findall(rb"^(Server|Date): (.*)\r\n", made, re.M)
    pairs = [(name.decode(), text.decode()) for name, text in own] + pairs
    return made + body, {"status": status, "reason": reason.strip(" \t"), "version": handler.protocol_version[5:],
                         "headers": joined(pairs), "body": body}


def odd():
    end = random.choice([b"\r\n", b"\n"])
    lines = [b"HTTP/1.1 200 OK"]
    for _ in range(random.randint(0, 10)):
        space = random.choice([b"", b" ", b"\t \t"])
        lines.append(token().encode() + b":" + space + value().encode() + space)
        for _ in range(random.choice((0, 0, 0, 1, 3))):
            lines.append(random.choice([b" ", b"\t", b"  "]) + b"x" + value().encode())
    made = b"".join(line + end for line in lines) + end
    response = http.client.HTTPResponse(Socket(made))
    response.begin()
    return made, {"status": 200, "reason": "OK", "version": "1.1", "headers": joined(response.getheaders_list()), "body": b""}


http.client.HTTPResponse.getheaders_list = lambda self: self.headers.items()
print("local list = {}")
for make, count in ((request, 400), (answer, 400), (odd, 400)):
    for _ in range(count):
        made, expected = make()
        print("list[#list + 1] = (function() return { bytes = %s, head = %s } end)()" % (lua(made), lua(expected)))
print("return list")
