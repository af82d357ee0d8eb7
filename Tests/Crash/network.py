"""Three machines that are network namespaces, joined by a switch that is one, too. Nothing outside of them is touched."""

import contextlib
import subprocess

SUBNET = "10.77.0"


class NetworkError(Exception):
    pass


def command(*words, stdin=None):
    result = subprocess.run([str(word) for word in words], input=stdin, capture_output=True, text=True)
    if result.returncode != 0:
        raise NetworkError(f"{' '.join(map(str, words))}: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout


class Network:
    """Namespaces `NAME-1` … `NAME-N` with the addresses 10.77.0.1 … N."""

    def __init__(self, name, count):
        self.name = name
        self.nodes = range(1, count + 1)
        self.switch = f"{name}-switch"
        self.made = []
        # (from, to) -> percent of the packets that get lost on the way
        self.loss = {}
        try:
            self.make()
        except BaseException:
            self.close()
            raise

    def make(self):
        self.add(self.switch)
        command("ip", "-n", self.switch, "link", "add", "switch", "type", "bridge")
        command("ip", "-n", self.switch, "link", "set", "switch", "up")
        for node in self.nodes:
            space = self.space(node)
            self.add(space)
            command("ip", "-n", self.switch, "link", "add", f"port{node}", "type", "veth", "peer", "name", "eth0", "netns", space)
            command("ip", "-n", self.switch, "link", "set", f"port{node}", "master", "switch", "up")
            command("ip", "-n", space, "address", "add", f"{self.address(node)}/24", "dev", "eth0")
            command("ip", "-n", space, "link", "set", "eth0", "up")
            command("ip", "-n", space, "link", "set", "lo", "up")
            self.filter(node)

    def add(self, space):
        command("ip", "netns", "add", space)
        self.made.append(space)

    def close(self):
        for space in reversed(self.made):
            with contextlib.suppress(NetworkError):
                command("ip", "netns", "delete", space)
        self.made = []

    def space(self, node):
        return f"{self.name}-{node}"

    def address(self, node):
        return f"{SUBNET}.{node}"

    def inside(self, node):
        """The words that run a program on a machine. Not `ip netns exec`, which would hide its mounts."""
        return ["nsenter", f"--net=/run/netns/{self.space(node)}"]

    # Faults. All are rules for what comes in, so that each direction can be cut alone.

    def lose(self, source, target, percent):
        """From now on so many of the packets from one machine to another are lost; 100: cut."""
        self.loss[(source, target)] = percent
        self.filter(target)

    def cut(self, one, other):
        self.lose(one, other, 100)
        self.lose(other, one, 100)

    def heal(self):
        self.loss = {}
        for node in self.nodes:
            self.filter(node)

    def filter(self, node):
        rules = []
        for (source, target), percent in self.loss.items():
            if target == node and percent > 0:
                chance = "" if percent >= 100 else f"numgen random mod 100 < {percent} "
                rules.append(f"ip saddr {self.address(source)} {chance}drop")
        table = "table inet crash {\nchain input { type filter hook input priority 0; policy accept;\n" + "\n".join(rules) + "\n}\n}\n"
        command(*self.inside(node), "nft", "-f", "-", stdin="table inet crash {}\ndelete table inet crash\n" + table)
