"""What is compared: the references, and tunfilter with the scripts of this folder."""
import os
import shutil
import subprocess

from hosts import LEFT, MACS, QUEUE, RIGHT, Failed, Process, run

HERE = os.path.dirname(os.path.abspath(__file__))
RULES = """
table ip bench {
    chain forward {
        type filter hook forward priority 0; policy accept;
        ip daddr 10.0.0.0/8 tcp dport 53 drop
        ip daddr 10.0.0.0/8 udp dport 53 drop
    }
}
"""
QUEUE_RULES = "table ip bench { chain forward { type filter hook forward priority 0; queue num 0; } }"


class Candidate:
    """A way for packets from left to right."""

    ours = False

    def __init__(self, name, title):
        self.name, self.title = name, title

    def missing(self, build):
        """Why it cannot be had here, or None."""

    def start(self, link):
        """Lets it forward between link's hosts; its process, or None where the kernel forwards."""
        raise NotImplementedError

    def begin(self, link, argv):
        return link.add(Process(argv))


class Reference(Candidate):
    """bench_forward."""

    def start(self, link):
        argv = [f"{link.build}/tests/bench/bench_forward", self.name, link.left.pid, LEFT, link.right.pid, RIGHT]
        return self.begin(link, [*argv, link.mtu, QUEUE])


def scapy_python():
    """A Python that has scapy, or None."""
    for python in os.environ.get("TF_PYTHON", "python3"), "python3", "/usr/bin/python3":
        if shutil.which(python) and subprocess.run([python, "-c", "import scapy"], stderr=subprocess.DEVNULL,
                                                   timeout=30).returncode == 0:
            return python
    return None


class Scapy(Candidate):
    """scapy_bridge.py."""

    def missing(self, build):
        return None if scapy_python() else "no Python here has scapy"

    def start(self, link):
        argv = [scapy_python(), f"{HERE}/scapy_bridge.py", link.left.pid, LEFT, link.right.pid, RIGHT]
        return self.begin(link, [*argv, link.mtu, QUEUE])


class Router(Candidate):
    """A third host that routes between the two: the kernel with nftables."""

    def missing(self, build):
        return None if shutil.which("nft") else "nft is not installed"

    def start(self, link):
        router = link.host()
        for side, host, own, other in ("left", link.left, LEFT, RIGHT), ("right", link.right, RIGHT, LEFT):
            mac = MACS["router " + side]
            host.ip(f"link add bench mtu {link.mtu} address {MACS[side]} txqueuelen {QUEUE} type veth "
                    f"peer name {side} mtu {link.mtu} address {mac} netns {router.pid}")
            host.ip(f"address add {own}/24 dev bench")
            host.ip("link set bench up")
            host.ip(f"neighbour add {other} lladdr {mac} dev bench")
            router.ip(f"link set {side} up")
            router.ip(f"route add {own} dev {side}")
            router.ip(f"neighbour add {own} lladdr {MACS[side]} dev {side}")
        run(router.inside("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"))
        return self.rule(link, router)

    def rule(self, link, router):
        run(router.inside("nft", RULES))


class Nfqueue(Router):
    """The same, with every packet through bench_nfqueue."""

    def missing(self, build):
        if not os.path.exists(f"{build}/tests/bench/bench_nfqueue"):
            return "libnetfilter_queue is not installed"
        return None if shutil.which("nft") or shutil.which("iptables") else "neither nft nor iptables is installed"

    def rule(self, link, router):
        process = self.begin(link, [f"{link.build}/tests/bench/bench_nfqueue", router.pid, "0"]).ready()
        errors = []
        # Some kernels have nftables without its own way to a queue, and iptables' for nftables still.
        for argv in ["nft", QUEUE_RULES], *([name, "-A", "FORWARD", "-j", "NFQUEUE", "--queue-num", "0"]
                                            for name in ("iptables-nft", "iptables-legacy", "iptables")):
            try:
                run(router.inside(*argv))
                return process
            except Failed as error:
                errors.append(str(error))
        raise Failed("no rule leads to a queue here: " + "; ".join(errors))


class Tunfilter(Candidate):
    """The program with a script of this folder, and options."""

    ours = True

    def __init__(self, name, title, script, *options):
        super().__init__(name, title)
        self.script, self.options = f"{HERE}/{script}", options

    def missing(self, build):
        text = subprocess.run([f"{build}/tunfilter", "--help"], capture_output=True, text=True, timeout=20).stdout
        absent = [word for word in self.options if word.startswith("--") and word not in text]
        return f"this tunfilter has no {absent[0]}" if absent else None

    def start(self, link):
        sides = [f"tun:bench,netns={host.pid},address={address}/24,mtu={link.mtu},queue={QUEUE}"
                 for host, address in ((link.left, LEFT), (link.right, RIGHT))]
        return self.begin(link, [f"{link.build}/tunfilter", "-q", self.script, *self.options,
                                 "--left", sides[0], "--right", sides[1]])


ALL = [
    Scapy("scapy", "scapy bridge between two TUN"),
    Reference("single", "plain C, one packet a wakeup"),
    Reference("drain", "plain C, drain up to 64"),
    Reference("batch", "plain C, read 64, then write 64"),
    Reference("large", "C pass-through, large packets uncut"),
    Nfqueue("nfqueue", "C with NFQUEUE, batched, large packets"),
    Router("kernel", "kernel routing with nftables"),
    Tunfilter("pass", "tunfilter, a callback that does nothing", "pass.lua"),
    Tunfilter("look", "tunfilter, looks at every packet", "look.lua"),
    Tunfilter("nat", "tunfilter, edits every packet (NAT)", "nat.lua"),
    Tunfilter("look-plain", "tunfilter, looks, --no-offload", "look.lua", "--no-offload"),
    Tunfilter("look-spin", "tunfilter, looks, --spin 200", "look.lua", "--spin", "200"),
    Tunfilter("look-2", "tunfilter, looks, --workers 2", "look.lua", "--workers", "2"),
]
