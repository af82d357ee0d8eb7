"""The faults. Each is injected, held, and healed; then service must come back."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

from machines import ClusterError
from recorder import under_way

# Longer than every timeout of the product: sessions live 15 s.
FREEZE = 22


# Writes more than what is left in segments that have their room already.
FILLER = """
import errno, os, sys
result = "success"
try:
    with open(sys.argv[1], "wb", buffering=0) as file:
        for _ in range(100):
            file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())
except OSError as error:
    result = errno.errorcode.get(error.errno, str(error))
try:
    os.unlink(sys.argv[1])
except OSError:
    pass
print(result)
"""


class Fault:
    def __init__(self, name, inject, summary, is_main, damages=False, is_canary=False):
        self.name = name
        self.inject = inject
        self.summary = summary
        # Part of the short form.
        self.is_main = is_main
        # Copies may be gone afterwards: verify --repair is run before the next fault, as an administrator would.
        self.damages = damages
        # Proves that a run can fail; only if it is asked for by name.
        self.is_canary = is_canary


class Nemesis:
    def __init__(self, machines, records, seed, hold, say):
        self.machines = machines
        self.records = records
        self.random = random.Random(seed)
        self.hold_range = hold
        self.say = say
        self.seed = seed
        self.kills = 0
        self.in_flight = 0
        self.history = []
        # (start, end, mounts): operations of these mounts may wait as long as that.
        self.waits = []
        self.repaired = 0
        self.faults = {fault.name: fault for fault in self.table()}

    def table(self):
        return [
            Fault("kill-daemon", self.kill_daemon, "kill -9 of one daemon", False),
            Fault("kill-leader", self.kill_leader, "kill -9 of the metadata leader", True),
            Fault("kill-all", self.kill_all, "kill -9 of all daemons at once", True),
            Fault("kill-everything", self.kill_everything, "kill -9 of all daemons and mounts at once", False),
            Fault("kill-mount", self.kill_mount, "kill -9 of a mount process", True),
            Fault("storm", self.storm, "daemons ended and started one after another without pause", False),
            Fault("freeze-daemon", self.freeze_daemon, f"SIGSTOP of a daemon for {FREEZE} s", False),
            Fault("freeze-leader", self.freeze_leader, f"SIGSTOP of the leader for {FREEZE} s", True),
            Fault("freeze-mount", self.freeze_mount, f"SIGSTOP of a mount process for {FREEZE} s", False),
            Fault("cut-node", self.cut_node, "one machine cut off from all others, both ways", True),
            Fault("cut-leader", self.cut_leader, "the leader's machine cut off from all others, both ways", False),
            Fault("cut-one-way", self.cut_one_way, "one machine hears the others, but they do not hear it, or the reverse", True),
            Fault("cut-pair", self.cut_pair, "two machines that do not see each other, but both the third", False),
            Fault("swizzle", self.swizzle, "links cut one by one and joined again in another order", False),
            Fault("loss", self.loss, "packets lost on all links", True),
            Fault("slow-disk", self.slow_disk, "a disk that takes 20 to 100 ms longer for everything", False),
            Fault("full-disk", self.full_disk, "no room on one machine's disk", True),
            Fault("full-all", self.full_all, "no room on any disk", False),
            Fault("power-node", self.power_node, "power loss of one machine with its mount", True, damages=True),
            Fault("power-all", self.power_all, "power loss of all machines at once", True, damages=True),
            Fault("fail-sync", self.fail_sync, "fsync fails on one machine, and what it should have written is gone", True, damages=True),
            Fault("lie", self.lie, "a disk that syncs nothing and says it did, until its machine loses power", False, damages=True),
            Fault("lie-all", self.lie_all, "all disks do so: data must be lost, and this program must say so", False, is_canary=True),
            Fault("wipe-blocks", self.wipe_blocks, "the block store of one machine is gone", True, damages=True),
            Fault("wipe-node", self.wipe_node, "all that a machine had is gone but its identity", False, damages=True),
            Fault("damage-log", self.damage_log, "metadata log of one machine cut, removed, or with flipped bits", False),
            Fault("cut-segment", self.cut_segment, "a file of one machine's block store cut off somewhere", False, damages=True),
            Fault("fail-read", self.fail_read, "reading fails on one machine", False, damages=True),
            Fault("rot", self.rot, "flipped bits in the blocks of one machine", True, damages=True),
        ]

    # Running

    def run(self, name, service):
        """Injects a fault, heals it, and waits for service. `service` says when that is back: a function of the time of healing."""
        fault = self.faults[name]
        start = time.monotonic()
        detail = fault.inject()
        healed = time.monotonic()
        back = service(healed)
        self.say(f"  {detail}; healed after {healed - start:.1f} s, service back {back - healed:.1f} s later")
        entry = {"fault": name, "detail": detail, "start": start, "healed": healed, "back": back}
        self.history.append(entry)
        self.machines.wait_until_up()
        if fault.damages:
            self.repair(entry)
        return entry

    def repair(self, entry):
        flags = ["--repair", "--deep"] if entry["fault"] in ("rot", "power-all", "power-node", "cut-segment", "fail-read", "lie") else ["--repair"]
        code, report = self.machines.verify(*flags)
        # Writes go on meanwhile; what this did not get is found at the end.
        if code not in (0, 1):
            code, report = self.machines.verify(*flags)
        entry["repaired"] = report.get("repaired", 0)
        self.repaired += entry["repaired"]
        self.say(f"  verify {' '.join(flags)}: {entry['repaired']} copies repaired, {len(report['findings'])} problems left")
        if code not in (0, 1):
            raise ClusterError(f"verify {' '.join(flags)} after {entry['fault']} ended with {code}: {report['findings'][:5]} {report.get('failure', '')}")

    def hold(self):
        time.sleep(self.random.uniform(*self.hold_range))

    def node(self, but=()):
        return self.random.choice([node for node in self.machines.nodes if node not in but])

    def leader(self):
        for _ in range(60):
            if leader := self.machines.leader():
                return leader
            time.sleep(0.5)
        raise ClusterError("there is no leader")

    def may_wait(self, start, mounts=None):
        self.waits.append((start, time.monotonic() + 5, tuple(mounts or self.machines.mounts)))

    def count_in_flight(self, mounts=None):
        """Before a kill: what is under way."""
        self.kills += 1
        self.in_flight += len(under_way(self.records))

    def kill(self, nodes, mounts=()):
        """At once: all signals are sent before the first end is waited for."""
        self.count_in_flight()
        for node in nodes:
            self.machines.excuse(("node", node), True)
        for number in mounts:
            self.machines.excuse(("mount", number), True)
        for node in nodes:
            process = self.machines.daemons[node]
            if process.poll() is None:
                process.kill()
        for number in mounts:
            process = self.machines.mounters[number]
            if process.poll() is None:
                process.kill()
        for node in nodes:
            self.machines.kill(node)
        for number in mounts:
            self.machines.kill_mount(number)

    def start(self, nodes, mounts=()):
        for node in self.random.sample(list(nodes), len(nodes)):
            self.machines.start(node)
        for number in mounts:
            self.machines.mount(number)

    # Processes

    def kill_daemon(self):
        node = self.node()
        self.kill([node])
        self.hold()
        self.start([node])
        return f"killed node {node}"

    def kill_leader(self):
        node = self.leader()
        self.kill([node])
        self.hold()
        self.start([node])
        return f"killed the leader, node {node}"

    def kill_all(self):
        start = time.monotonic()
        self.kill(self.machines.nodes)
        time.sleep(self.random.uniform(0, 5))
        self.start(self.machines.nodes)
        self.may_wait(start)
        return "killed all daemons"

    def kill_everything(self):
        start = time.monotonic()
        self.kill(self.machines.nodes, self.machines.mounts)
        self.start(self.machines.nodes, self.machines.mounts)
        self.may_wait(start)
        return "killed all daemons and mounts"

    def kill_mount(self):
        number = self.random.choice(self.machines.mounts)
        self.kill([], [number])
        self.start([], [number])
        return f"killed the mount of machine {number}"

    def storm(self):
        start = time.monotonic()
        order = []
        for _ in range(8):
            node = self.node()
            order.append(node)
            if self.random.random() < 0.5:
                self.kill([node])
            else:
                self.machines.kill(node, signal.SIGTERM)
            self.start([node])
            time.sleep(self.random.uniform(0, 2))
        self.may_wait(start)
        return f"restarted nodes {' '.join(map(str, order))}"

    def freeze(self, process, what):
        self.count_in_flight()
        process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(FREEZE)
        finally:
            process.send_signal(signal.SIGCONT)
        return f"froze {what}"

    def freeze_daemon(self):
        node = self.node()
        return self.freeze(self.machines.daemons[node], f"node {node}")

    def freeze_leader(self):
        node = self.leader()
        return self.freeze(self.machines.daemons[node], f"the leader, node {node}")

    def freeze_mount(self):
        start = time.monotonic()
        number = self.random.choice(self.machines.mounts)
        detail = self.freeze(self.machines.mounters[number], f"the mount of machine {number}")
        self.may_wait(start, [number])
        return detail

    # Network

    def isolate(self, node, how):
        start = time.monotonic()
        for other in self.machines.nodes:
            if other != node:
                if how != "deaf":
                    self.machines.network.lose(node, other, 100)
                if how != "mute":
                    self.machines.network.lose(other, node, 100)
        self.hold()
        self.machines.network.heal()
        self.may_wait(start, [node])

    def cut_node(self):
        node = self.node()
        self.isolate(node, "both")
        return f"cut off machine {node}"

    def cut_leader(self):
        node = self.leader()
        self.isolate(node, "both")
        return f"cut off the leader's machine {node}"

    def cut_one_way(self):
        node = self.random.choice([self.node(), self.leader()])
        how = self.random.choice(["deaf", "mute"])
        self.isolate(node, how)
        return f"machine {node} was {how}"

    def cut_pair(self):
        one = self.node()
        other = self.node(but=[one])
        self.machines.network.cut(one, other)
        self.hold()
        self.machines.network.heal()
        return f"machines {one} and {other} did not see each other"

    def swizzle(self):
        start = time.monotonic()
        links = [(one, other) for one in self.machines.nodes for other in self.machines.nodes if one != other]
        chosen = self.random.sample(links, self.random.randint(2, len(links)))
        for link in chosen:
            self.machines.network.lose(*link, 100)
            time.sleep(self.random.uniform(0.2, 2))
        for link in self.random.sample(chosen, len(chosen)):
            self.machines.network.lose(*link, 0)
            time.sleep(self.random.uniform(0.2, 2))
        self.machines.network.heal()
        self.may_wait(start)
        return f"{len(chosen)} of {len(links)} links cut and joined"

    def loss(self):
        start = time.monotonic()
        percent = self.random.choice([3, 10, 20])
        for one in self.machines.nodes:
            for other in self.machines.nodes:
                if one != other:
                    self.machines.network.lose(one, other, percent)
        self.hold()
        self.machines.network.heal()
        self.may_wait(start)
        return f"{percent} % of all packets lost"

    # Disks

    def slow_disk(self):
        node = self.node()
        delay = self.random.choice([20, 50, 100])
        self.machines.disks[node].tell("delay-ms", delay)
        self.hold()
        self.machines.disks[node].tell("delay-ms", 0)
        return f"the disk of machine {node} was slow by {delay} ms"

    def fill(self, nodes):
        """Takes away the room on disks, and writes what cannot fit. Returns how writing ended."""
        self.count_in_flight()
        before = self.refused(nodes)
        for node in nodes:
            disk = self.machines.disks[node]
            disk.tell("capacity", disk.stats()["used"] + self.random.randint(0, 8 << 20))
        path = f"{self.machines.point(self.random.choice(self.machines.mounts))}/filler"
        filler = subprocess.Popen([sys.executable, "-c", FILLER, path], stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.hold()
        for node in nodes:
            self.machines.disks[node].tell("capacity", self.machines.disks[node].capacity)
        try:
            ending = filler.communicate(timeout=120)[0].strip()
        except subprocess.TimeoutExpired:
            filler.kill()
            raise ClusterError("a writer on a full disk got neither room nor an error in 120 s") from None
        return f"{self.refused(nodes) - before} times no room; a writer ended with {ending}"

    def refused(self, nodes):
        return sum(self.machines.disks[node].stats()["refused_for_space"] for node in nodes)

    def full_disk(self):
        node = self.node()
        return f"the disk of machine {node} was full: {self.fill([node])}"

    def full_all(self):
        start = time.monotonic()
        ending = self.fill(self.machines.nodes)
        self.may_wait(start)
        return f"all disks were full: {ending}"

    def power_node(self):
        node = self.node()
        mounts = [number for number in self.machines.mounts if number == node]
        self.kill([node], mounts)
        self.machines.disks[node].crash(self.random.getrandbits(63))
        self.hold()
        self.start([node], mounts)
        return f"power loss of machine {node}"

    def power_all(self):
        start = time.monotonic()
        self.kill(self.machines.nodes, self.machines.mounts)
        lost = []
        for node in self.machines.nodes:
            before = self.machines.disks[node].stats()
            self.machines.disks[node].crash(self.random.getrandbits(63))
            after = self.machines.disks[node].stats()
            lost.append(sum(after[key] - before[key] for key in ("dropped_pages", "torn_pages", "dropped_names")))
        self.start(self.machines.nodes, self.machines.mounts)
        self.may_wait(start)
        return f"power loss of all machines, which lost {lost} pages and names"

    def fail_sync(self):
        node = self.node()
        disk = self.machines.disks[node]
        self.machines.excuse(("node", node), True)
        disk.tell("fail-sync", "on")
        self.hold()
        disk.tell("fail-sync", "off")
        # What an administrator does after changing the disk's cable.
        self.kill([node])
        disk.crash(self.random.getrandbits(63))
        self.start([node])
        return f"syncs failed on machine {node} ({disk.stats()['failed_syncs']} so far)"

    def lie(self):
        # Not the leader, since a log that has gone back is noticed by a leader that heard of more only.
        node = self.node(but=[self.leader()])
        self.machines.disks[node].tell("lie", "on")
        self.hold()
        mounts = [number for number in self.machines.mounts if number == node]
        self.kill([node], mounts)
        self.machines.disks[node].drop()
        self.machines.disks[node].tell("lie", "off")
        self.start([node], mounts)
        return f"the disk of machine {node} lied, and lost power"

    def lie_all(self):
        for node in self.machines.nodes:
            self.machines.disks[node].tell("lie", "on")
        self.hold()
        self.kill(self.machines.nodes, self.machines.mounts)
        for node in self.machines.nodes:
            self.machines.disks[node].drop()
            self.machines.disks[node].tell("lie", "off")
        self.start(self.machines.nodes, self.machines.mounts)
        return "all disks lied, and lost power"

    def wipe(self, node, names):
        self.kill([node])
        for name in names:
            shutil.rmtree(f"{self.machines.data(node)}/{name}", ignore_errors=True)
        self.start([node])

    def wipe_blocks(self):
        node = self.node()
        self.wipe(node, ["blocks"])
        return f"wiped the block store of node {node}"

    def wipe_node(self):
        node = self.node()
        self.wipe(node, ["blocks", "raft", "meta", "resync"])
        return f"wiped node {node}"

    def damage_log(self):
        # Not the leader, since an older log is noticed by a leader that heard of more only.
        leader = self.leader()
        node = self.node(but=[leader])
        self.kill([node])
        log = f"{self.machines.data(node)}/raft"
        how = self.random.choice(["removed", "rotten", "cut"])
        if how == "removed":
            shutil.rmtree(log)
        elif how == "rotten":
            self.machines.disks[node].rot(self.random.getrandbits(63), 20, "data/raft/")
        else:
            path = f"{log}/{max(os.listdir(log))}"
            os.truncate(path, self.random.randint(0, os.path.getsize(path)))
        self.start([node])
        self.hold()
        # Whatever it needs to be a voter again.
        self.machines.wait(lambda: self.machines.is_member(3, None), "three voters after a log was damaged", 120)
        return f"the log of node {node} was {how}"

    def cut_segment(self):
        node = self.node()
        self.kill([node])
        folder = f"{self.machines.data(node)}/blocks/segments"
        path = f"{folder}/{self.random.choice(sorted(os.listdir(folder)))}"
        size = self.random.randint(0, os.path.getsize(path))
        os.truncate(path, size)
        self.start([node])
        return f"{os.path.basename(path)} of node {node} was cut to {size} bytes"

    def fail_read(self):
        node = self.node()
        self.machines.excuse(("node", node), True)
        self.machines.disks[node].tell("fail-read", "on")
        self.hold()
        self.machines.disks[node].tell("fail-read", "off")
        self.kill([node])
        self.start([node])
        return f"reading failed on machine {node}"

    def rot(self):
        node = self.node()
        flipped = self.machines.disks[node].rot(self.random.getrandbits(63), 25, "data/blocks/segments/")
        self.hold()
        return f"flipped {len(flipped)} bits in the blocks of node {node}"
