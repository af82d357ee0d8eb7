"""A cluster of real daemons, each on a machine and a disk of its own, and mounts on some of the machines."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time

from disk import LossyDisk
from network import Network


class ClusterError(Exception):
    """The cluster did not do what it must."""


class Machines:
    nodes = (1, 2, 3)

    def __init__(self, directory, program, disk_program, capacity, mounts=(1, 2), settings="reserve_mb=32"):
        self.directory = directory
        self.program = program
        self.mounts = mounts
        self.settings = settings
        self.disks = {}
        self.daemons = {}
        self.mounters = {}
        # Processes that may be gone: a fault is at work. Guarded by `lock`, since the observer looks at them.
        self.excused = set()
        self.lock = threading.Lock()
        self.crashes = []
        self.points = f"{directory}/mnt"
        self.logs = f"{directory}/log"
        os.makedirs(self.logs)
        os.makedirs(self.points)
        self.network = Network(f"dhtfs-crash-{os.getpid()}", len(self.nodes))
        # Read-only, so that nobody writes to a mount point while nothing is mounted there.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", self.points], check=True)
        for number in mounts:
            os.mkdir(self.point(number))
        subprocess.run(["mount", "-o", "remount,ro", self.points], check=True)
        for node in self.nodes:
            self.disks[node] = LossyDisk(disk_program, f"{directory}/disk{node}", capacity=capacity)

    def point(self, number):
        return f"{self.points}/{number}"

    def data(self, node):
        return f"{self.directory}/disk{node}/data"

    def log_path(self, what, node):
        return f"{self.logs}/{what}{node}.log"

    # Commands

    def dhtfs(self, node, *words, timeout=120, ok=True):
        """Runs a command on a machine; returns (code, output, errors)."""
        line = [*self.network.inside(node), self.program, *map(str, words)]
        try:
            result = subprocess.run(line, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise ClusterError(f"dhtfs {' '.join(map(str, words))} did not end in {timeout} s") from None
        if ok and result.returncode != 0:
            raise ClusterError(f"dhtfs {' '.join(map(str, words))}: exit code {result.returncode}: {result.stdout[-1000:]}{result.stderr[-2000:]}")
        return result.returncode, result.stdout, result.stderr

    def status(self, node=None):
        """What `dhtfs status` says on a machine, or on the first that answers; None if none does."""
        for candidate in [node] if node else self.nodes:
            with contextlib.suppress(ClusterError, json.JSONDecodeError):
                return json.loads(self.dhtfs(candidate, "status", "--data", self.data(candidate), "--json", timeout=20, ok=False)[1])
        return None

    def leader(self):
        """The number of the node that leads, None if there is none."""
        status = self.status()
        identity = status and status.get("leader")
        for node in self.nodes:
            with contextlib.suppress(OSError):
                if identity and f"node {identity}" in open(f"{self.data(node)}/format").read():
                    return node
        return None

    def verify(self, *flags, timeout=900):
        """(exit code, report) of verify; the report is None if it could not run."""
        code, output, errors = self.dhtfs(1, "verify", "--data", self.data(1), "--json", *flags, timeout=timeout, ok=False)
        try:
            return code, json.loads(output)
        except json.JSONDecodeError:
            return code, {"findings": [], "failure": (output + errors)[-1000:]}

    # Life

    def found(self):
        """Makes the cluster and waits until it can lose a node."""
        for node in self.nodes:
            place = ["--data", self.data(node), "--listen", f"{self.network.address(node)}:7070", "--advertise", f"{self.network.address(node)}:7070"]
            place += ["--machine", f"crash-{node}"]
            if node == 1:
                self.dhtfs(1, "init", *place, "--replicas", 3)
            else:
                token = self.dhtfs(1, "token", "create", "--data", self.data(1))[1].strip()
                self.dhtfs(node, "join", token, *place)
            self.start(node)
            self.wait(lambda: self.is_member(node), f"node {node} to be a voter", 60)

    def is_member(self, count, node=1):
        """Whether there are so many voters, as a node knows it, or any."""
        status = self.status(node)
        return bool(status) and any(node.get("role") == "leader" and len(node["voters"]) == count for node in status["nodes"])

    def start(self, node):
        """Starts a daemon unless it runs."""
        process = self.daemons.get(node)
        if process is None or process.poll() is not None:
            log = open(self.log_path("node", node), "a")
            line = [*self.network.inside(node), self.program, "daemon", "--data", self.data(node), "--set", self.settings]
            with self.lock:
                self.daemons[node] = subprocess.Popen(line, stdout=log, stderr=log, start_new_session=True)
            log.close()
        self.excuse(("node", node), False)

    def mount(self, number, limit=90):
        """Mounts unless it is mounted and its process lives."""
        process = self.mounters.get(number)
        if process is not None and process.poll() is None:
            self.excuse(("mount", number), False)
            return
        subprocess.run(["umount", "-l", self.point(number)], capture_output=True)
        end = time.monotonic() + limit
        while True:
            log = open(self.log_path("mount", number), "a")
            line = [*self.network.inside(number), self.program, "mount", "--foreground", "--data", self.data(number), self.point(number)]
            process = subprocess.Popen(line, stdout=log, stderr=log, start_new_session=True)
            log.close()
            while process.poll() is None and not self.is_mounted(number) and time.monotonic() < end:
                time.sleep(0.05)
            if process.poll() is None and self.is_mounted(number):
                break
            process.kill()
            process.wait()
            if time.monotonic() > end:
                raise ClusterError(f"the mount on machine {number} did not come back in {limit} s; see {self.log_path('mount', number)}")
            time.sleep(0.5)
        with self.lock:
            self.mounters[number] = process
        self.excuse(("mount", number), False)

    def is_mounted(self, number):
        return any(line.split()[1] == self.point(number) for line in open("/proc/self/mounts"))

    def unmount(self, number):
        """In order; the process has written back everything when this returns."""
        self.excuse(("mount", number), True)
        subprocess.run(["umount", self.point(number)], capture_output=True)
        process = self.mounters.get(number)
        if process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=90)
                return
            raise ClusterError(f"the mount process on machine {number} did not end after unmounting")

    def excuse(self, what, yes):
        with self.lock:
            (self.excused.add if yes else self.excused.discard)(what)

    def kill(self, node, sign=signal.SIGKILL):
        """Ends a daemon and waits for its end."""
        self.end(("node", node), self.daemons.get(node), sign)

    def kill_mount(self, number):
        self.end(("mount", number), self.mounters.get(number), signal.SIGKILL)
        subprocess.run(["umount", "-l", self.point(number)], capture_output=True)

    def end(self, what, process, sign):
        self.excuse(what, True)
        if process is None or process.poll() is not None:
            return
        process.send_signal(sign)
        # A frozen process must be thawed for anything but SIGKILL.
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            raise ClusterError(f"process {process.pid} ({what[0]} {what[1]}) did not end 30 s after {sign.name}") from None

    def processes(self):
        """(kind, number, process) of all that were started."""
        with self.lock:
            return [("node", n, p) for n, p in self.daemons.items()] + [("mount", n, p) for n, p in self.mounters.items()]

    def find_crashes(self):
        """Processes that ended by themselves; each is reported once."""
        for kind, number, process in self.processes():
            code = process.poll()
            if code is None:
                continue
            with self.lock:
                # A fault, or a new process that has taken its place meanwhile, explains it.
                known = (kind, number) in self.excused or (self.daemons if kind == "node" else self.mounters).get(number) is not process
                known = known or any(crash["pid"] == process.pid for crash in self.crashes)
            if not known:
                lines = [line for line in open(self.log_path(kind, number), errors="replace").read().splitlines() if line][-60:]
                start = next((at for at, line in enumerate(lines) if "atal" in line or "Simultaneous" in line), len(lines) - 8)
                lines = lines[start : start + 12]
                self.crashes.append({"process": f"{kind}{number}", "pid": process.pid, "code": code, "log": lines, "at": time.monotonic()})
                yield self.crashes[-1]

    @staticmethod
    def wait(condition, what, limit):
        end = time.monotonic() + limit
        while not condition():
            if time.monotonic() > end:
                raise ClusterError(f"waited {limit} s in vain for {what}")
            time.sleep(0.1)

    def wait_until_up(self, limit=120):
        """All nodes up and part of the metadata group, and a leader."""

        def up():
            status = self.status()
            return bool(status) and status["healthy"] and all(node.get("role") in ("leader", "follower") for node in status["nodes"])

        self.wait(up, "all nodes to be up", limit)

    def copies_owed(self):
        status = self.status()
        return sum(node.get("resync_length", 0) for node in status["nodes"]) if status else None

    def wait_until_whole(self, limit=240):
        """Waits until all nodes are up. Also until no node owes another a copy, but not for longer than the limit: what failed several times is tried
        again after many minutes only. Returns the copies that are still owed."""
        self.wait_until_up()
        end = time.monotonic() + limit
        while (owed := self.copies_owed()) != 0 and time.monotonic() < end:
            time.sleep(1)
        return owed

    def close(self):
        for kind, number, process in self.processes():
            self.excuse((kind, number), True)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for number in self.mounts:
            # By force: frees a process that waits in the kernel for its own answer.
            subprocess.run(["umount", "-f", self.point(number)], capture_output=True)
            subprocess.run(["umount", "-l", self.point(number)], capture_output=True)
        for _, _, process in self.processes():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
        for disk in self.disks.values():
            disk.close()
        subprocess.run(["umount", "-l", self.points], capture_output=True)
        self.network.close()
