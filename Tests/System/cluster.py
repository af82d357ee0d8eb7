"""A local cluster of real daemons and mounts for the system tests."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time


class Failure(Exception):
    """What a test found wrong."""


def check(condition, message):
    if not condition:
        raise Failure(message)


def run(*words, ok=True, cwd=None, timeout=600, env=None, stdin=None):
    """Runs a program; returns its standard output. With ok=None returns (code, output, errors)."""
    result = subprocess.run(
        [str(word) for word in words], cwd=cwd, timeout=timeout, env=env, input=stdin, capture_output=True, text=True, errors="surrogateescape"
    )
    if ok is None:
        return result.returncode, result.stdout, result.stderr
    if (result.returncode == 0) != ok:
        raise Failure(f"{' '.join(map(str, words))}: exit code {result.returncode}\n{result.stdout[-2000:]}{result.stderr[-4000:]}")
    return result.stdout


def shell(script, **options):
    return run("bash", "-euo", "pipefail", "-c", script, **options)


def wait_until(condition, what, limit=60):
    """Waits for a condition, which is the test's subject; the limit only ends a test that has failed."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"waited {limit} s in vain for: {what}")
        time.sleep(0.05)


def drop_caches():
    run("sync")
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


def free_port_range(count):
    """The first port of `count` free ones that follow each other on 127.0.0.1."""
    for start in range(20000 + os.getpid() % 2000 * 4, 60000, count):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(start, start + count):
                    probe = stack.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", port))
                return start
            except OSError:
                continue
    raise Failure("no free ports")


class Cluster:
    """Daemons under one directory of their own, mounted at `mounts`."""

    program = None

    @classmethod
    def companion(cls, name):
        """Another program of the same build."""
        return os.path.join(os.path.dirname(os.path.abspath(cls.program)), name)

    def __init__(self, nodes=3, replicas=None, mount=True, directory=None, settings=None):
        self.directory = directory or tempfile.mkdtemp(prefix="dhtfs-test-")
        self.owned = directory is None
        self.nodes = nodes
        self.replicas = replicas
        self.settings = settings
        self.port = free_port_range(nodes)
        self.mount = os.path.join(self.directory, "mnt") if mount else None
        self.data = os.path.join(self.directory, "data")
        self.extra = []

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.show_logs()
        for process, path in self.extra:
            with contextlib.suppress(Exception):
                self.unmount(path, process)
        with contextlib.suppress(Exception):
            self.dhtfs("down", self.data, "--lazy", ok=None, timeout=60)
        for number in range(1, self.nodes + 1):
            self.kill(number)
        for line in open("/proc/self/mounts").read().splitlines():
            path = line.split()[1]
            if path.startswith(self.directory):
                run("umount", "-l", path, ok=None)
        if self.owned:
            shutil.rmtree(self.directory, ignore_errors=True)

    def dhtfs(self, *words, **options):
        return run(self.program, *words, **options)

    def up(self):
        words = ["up", self.data, "--nodes", self.nodes, "--port", self.port]
        if self.replicas:
            words += ["--replicas", self.replicas]
        if self.mount:
            words += ["--mount", self.mount]
        if self.settings:
            words += ["--set", self.settings]
        self.dhtfs(*words)

    def down(self):
        self.dhtfs("down", self.data)

    def second_mount(self, number, settings=None):
        """Mounts the tree once more, through the daemon of one node."""
        path = os.path.join(self.directory, f"mnt{number}-{len(self.extra)}")
        os.makedirs(path)
        words = ["--set", settings] if settings else []
        process = subprocess.Popen(
            [self.program, "mount", "--foreground", "--data", f"{self.data}/node{number}", *words, path], stderr=open(f"{path}.log", "w")
        )
        self.extra.append((process, path))
        wait_until(lambda: process.poll() is not None or os.path.ismount(path), f"mount at {path}")
        check(process.poll() is None, f"the mount at {path} ended: {open(path + '.log').read()}")
        return path

    def unmount(self, path, process):
        run(self.program, "unmount", path, "--lazy", ok=None, timeout=60)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()

    def pid(self, number):
        try:
            return int(open(f"{self.data}/node{number}/pid").readline())
        except (OSError, ValueError):
            return None

    def mount_pid(self):
        """The process that serves the mount; not the one that keeps it alive."""
        return int(open(f"/run/dhtfs/{self.mount.replace('-', '--').replace('/', '-')}.pid").readline())

    def kill_mount(self):
        """Kills the mount's process for good."""
        process = self.mount_pid()
        keeper = int(open(f"{self.data}/mount.pid").readline())
        for victim in (keeper, process):
            os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not alive(keeper) and not alive(process), "the end of the mount's processes")

    def kill(self, number, sign=signal.SIGKILL):
        """Kills a daemon and waits until its lock is free."""
        process = self.pid(number)
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, sign)
        wait_until(lambda: not alive(process), f"the end of process {process}")

    def status(self):
        code, output, errors = self.dhtfs("status", "--data", self.data, "--json", ok=None)
        try:
            return json.loads(output)
        except json.JSONDecodeError as error:
            raise Failure(f"status printed no JSON: {output!r} {errors!r}") from error

    def node_number(self, identity):
        for number in range(1, self.nodes + 1):
            if f"node {identity}" in open(f"{self.data}/node{number}/format").read():
                return number
        raise Failure(f"no node {identity}")

    def leader(self):
        """The number of the node that leads the metadata service."""
        found = []

        def ask():
            found[:] = [self.status().get("leader")]
            return found[0] is not None

        wait_until(ask, "a leader")
        return self.node_number(found[0])

    def verify(self, *flags, code=0):
        """Runs verify; checks its exit code; returns its JSON."""
        status, output, errors = self.dhtfs("verify", "--data", self.data, "--json", *flags, ok=None)
        check(status == code, f"verify {' '.join(flags)}: exit code {status}, expected {code}\n{output[-3000:]}{errors[-2000:]}")
        return json.loads(output)

    def wait_until_whole(self, limit=120):
        """Waits until all nodes are up and owe each other nothing."""

        def whole():
            status = self.status()
            return status["healthy"] and all(node.get("resync_length") == 0 for node in status["nodes"])

        wait_until(whole, "all nodes up and no copies owed", limit)

    def show_logs(self):
        for root, _, names in os.walk(self.directory):
            for name in names:
                # Those of RocksDB and the journal are numbered, and not for the eye.
                if name.endswith(".log") and not name[:-4].isalnum() or name in ("daemon.log", "mount.log"):
                    with contextlib.suppress(OSError):
                        lines = open(os.path.join(root, name), errors="replace").read().splitlines()[-25:]
                        if lines:
                            print(f"--- {os.path.join(root, name)}")
                            print("\n".join(lines))


def alive(process):
    """False once its last thread is gone, and with it what it had open and locked: the first one may be gone before."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX" or len(os.listdir(f"/proc/{process}/task")) > 1
    except OSError:
        return False


def resident_bytes(process):
    for line in open(f"/proc/{process}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise Failure(f"process {process} has no VmRSS")


def listing(path):
    """Names, kinds, modes, owners, sizes of files, modification times and link targets of a tree."""
    return run("find", ".", "-printf", r"%P|%y|%m|%U:%G|%T@|%l|", "(", "-type", "f", "-printf", r"%s\n", "-o", "-printf", r"\n", ")", cwd=path)


def check_same_tree(left, right):
    run("diff", "-r", "--no-dereference", left, right)
    first, second = sorted(listing(left).splitlines()), sorted(listing(right).splitlines())
    for one, other in zip(first, second):
        check(one == other, f"attributes differ:\n  {one}\n  {other}")
    check(len(first) == len(second), f"{len(first)} entries against {len(second)}")
    return len(first)
