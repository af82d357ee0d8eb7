"""Crash runs: three real daemons on machines and disks that fail, with checksummed workloads, at random from a seed.

Started by Scripts/crash-run, which builds what it needs.
"""

import argparse
import filecmp
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import report as measure
from disk import DiskError
from machines import ClusterError, Machines
from nemesis import Nemesis
from network import NetworkError
from recorder import operations
from worker import KINDS

WORKLOADS = [("files", 1), ("files", 2), ("append", 1), ("append", 2), ("register", 1), ("register", 2), ("moves", 1), ("moves", 2), ("counter", 1)]
WORKLOADS += [("counter", 2), ("probe", 1), ("probe", 2), ("fio", 1), ("git", 2), ("sqlite", 1)]
# What a fault may take until service is back.
SERVICE_LIMIT = 150


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message):
        print(f"crash-run: {message}; see Scripts/crash-run --help", file=sys.stderr)
        sys.exit(2)


def number(text):
    value = float(text)
    if not 0 < value < 100_000:
        raise ValueError
    return value


class Run:
    def __init__(self, options):
        self.options = options
        self.started = time.monotonic()
        self.directory = tempfile.mkdtemp(prefix="dhtfs-crash-")
        self.records = f"{self.directory}/records"
        os.makedirs(self.records)
        self.machines = None
        self.nemesis = None
        self.observer = None
        self.workers = []
        self.problems = []
        self.acknowledged = {}
        self.owed = None
        self.verified = {"before": None, "after": None, "repaired": 0}

    def say(self, text):
        print(f"[{time.monotonic() - self.started:7.1f}] {text}", flush=True)

    def problem(self, kind, what):
        self.problems.append((kind, what))
        if len(self.problems) <= 40:
            self.say(f"!! {kind}: {what}")

    # Phases

    def set_up(self):
        self.say(f"seed {self.options.seed}; everything lies in {self.directory}")
        self.machines = Machines(self.directory, self.options.program, self.options.disk_program, int(self.options.disk_gb * (1 << 30)))
        self.machines.found()
        for mount in self.machines.mounts:
            self.machines.mount(mount)
        hold = (2, 4) if self.options.short else (4, 15)
        self.nemesis = Nemesis(self.machines, self.records, self.options.seed, hold, self.say)
        self.observer = measure.Observer(self.machines, self.say)
        self.observer.start()
        for kind, mount in WORKLOADS:
            other = next((number for number in self.machines.mounts if number != mount), mount)
            words = [sys.executable, f"{os.path.dirname(os.path.abspath(__file__))}/worker.py", kind, f"{kind}{mount}", self.records]
            words += [self.machines.point(mount), self.machines.point(other), str(self.options.seed)]
            log = open(f"{self.machines.logs}/{kind}{mount}.worker.log", "w")
            self.workers.append((f"{kind}{mount}", subprocess.Popen(words, stderr=log, stdout=log, start_new_session=True)))
            log.close()
        self.wait_for_service(time.monotonic())
        # Something must be there that can be lost.
        self.machines.wait(lambda: sum(1 for _ in open(f"{self.records}/kept-files1")) > 100, "100 acknowledged files", 60)
        self.say(f"three daemons, {len(self.machines.mounts)} mounts, {len(self.workers)} workloads")

    def wait_for_service(self, since):
        """Until a synced write that began after `since` succeeded on each mount."""
        back = {}

        def look():
            for mount in self.machines.mounts:
                with open(f"{self.records}/ops-probe{mount}", "rb") as file:
                    file.seek(max(0, os.path.getsize(file.name) - 4000))
                    lines = file.read().decode().splitlines()
                for line in lines:
                    words = line.split()
                    if len(words) == 4 and words[3] == "ok" and float(words[0]) >= since:
                        back.setdefault(mount, float(words[1]))
            return len(back) == len(self.machines.mounts)

        def ready():
            return all(os.path.exists(f"{self.records}/ops-probe{mount}") for mount in self.machines.mounts) and look()

        self.machines.wait(ready, f"service on all mounts (there on {sorted(back)})", SERVICE_LIMIT)
        return max(back.values())

    def torment(self):
        names = self.options.faults or [
            fault.name for fault in self.nemesis.faults.values() if fault.is_main or not self.options.short and not fault.is_canary
        ]
        order = random.Random(self.options.seed + 1)
        end = time.monotonic() + self.options.minutes * 60
        bag = []
        rounds = 0
        while True:
            if not bag:
                # In the short form each once.
                if self.options.short and rounds:
                    return
                rounds += 1
                bag = order.sample(names, len(names))
            if time.monotonic() > end and not self.options.short:
                return
            name = bag.pop()
            self.say(f"fault {len(self.nemesis.history) + 1}: {name} ({self.nemesis.faults[name].summary})")
            self.nemesis.run(name, self.wait_for_service)
            self.check_workers()
            if self.machines.crashes:
                return
            time.sleep(order.uniform(0, 1 if self.options.short else 4))

    def check_workers(self):
        for name, process in self.workers:
            if process.poll() is not None:
                text = open(f"{self.machines.logs}/{name}.worker.log", errors="replace").read()
                raise ClusterError(f"the workload {name} ended by itself: {text[-1500:]}")

    def stop_workers(self):
        open(f"{self.records}/stop", "w").close()
        end = time.monotonic() + 180
        for name, process in self.workers:
            try:
                process.wait(timeout=max(1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.problem("hung", f"the workload {name} does not end")
                process.kill()

    def finish(self):
        """Everything must be there, and in order."""
        self.say("healed; the workloads end")
        self.stop_workers()
        for mount in self.machines.mounts:
            self.machines.unmount(mount)
        self.owed = self.machines.wait_until_whole(60 if self.options.short else 240)
        self.say(f"{self.owed} copies are owed still")
        self.verify()
        for mount in self.machines.mounts:
            self.machines.mount(mount)
        for kind, workload in KINDS.items():
            self.acknowledged[kind] = workload.check(self.records, self.machines.point(self.machines.mounts[-1]), self.problem)
        self.say(f"acknowledged and looked for: {self.acknowledged}")
        self.compare_trees()
        for name in sorted(os.listdir(self.records)):
            if name.startswith("wrong-"):
                for line in open(f"{self.records}/{name}"):
                    at, kind, what = line.rstrip("\n").split(" ", 2)
                    self.problem(kind, f"during the run, at {float(at) - self.started:.1f}: {what}")
        if self.nemesis.kills and not self.nemesis.in_flight:
            self.problem("proves-nothing", "nothing was under way at any kill")
        for operation in measure.hung(self.records, operations(self.records), self.nemesis.waits):
            self.problem("hung", operation)

    def verify(self):
        code, found = self.machines.verify("--deep")
        self.verified["before"] = len(found["findings"])
        damaged = any(self.nemesis.faults[entry["fault"]].damages for entry in self.nemesis.history)
        # Owed copies are known to the daemons: verify only makes them sooner.
        if code == 4 and (damaged or self.owed):
            self.say(f"verify --deep: {len(found['findings'])} problems, such as {found['findings'][0]}")
            _, repaired = self.machines.verify("--deep", "--repair")
            self.verified["repaired"] = repaired.get("repaired", 0)
            code, found = self.machines.verify("--deep")
        self.verified["after"] = len(found["findings"])
        self.say(f"verify --deep: {self.verified}")
        if code != 0:
            self.problem("verify", f"exit code {code}: {found['findings'][:5]} {found.get('failure', '')}")

    def compare_trees(self):
        """Both mounts must show the same."""
        trees = []
        for mount in self.machines.mounts:
            path = self.machines.point(mount)
            listing = subprocess.run(
                ["find", ".", "-printf", r"%P|%y|%m|%U:%G|%s|%T@|%n|%l\n"], cwd=path, capture_output=True, text=True, timeout=600
            )
            trees.append(sorted(listing.stdout.splitlines()))
        for one, other in zip(*trees):
            if one != other:
                self.problem("other", f"the mounts differ: {one} and {other}")
                return
        if len(trees[0]) != len(trees[1]):
            self.problem("other", f"one mount has {len(trees[0])} names, the other {len(trees[1])}")
        first, second = (self.machines.point(mount) for mount in self.machines.mounts)
        for line in trees[0]:
            path, kind = line.split("|")[:2]
            if kind == "f" and not filecmp.cmp(f"{first}/{path}", f"{second}/{path}", shallow=False):
                self.problem("wrong-bytes", f"the mounts differ in the content of {path}")
        self.say(f"two mounts show the same {len(trees[0])} names")

    # Results

    def summary(self):
        done = operations(self.records)
        history = self.nemesis.history if self.nemesis else []
        faults = {}
        for entry in history:
            fault = faults.setdefault(entry["fault"], {"times": 0, "back_s_max": 0, "gap_s_max": 0})
            fault["times"] += 1
            fault["back_s_max"] = round(max(fault["back_s_max"], entry["back"] - entry["healed"]), 1)
            fault["gap_s_max"] = round(max(fault["gap_s_max"], measure.longest_gap(done, entry["start"], entry["back"])), 1)
        during = [entry for entry in history]
        quiet, disturbed = [], []
        for _, start, end, kind, result in done:
            if result == "ok" and kind in ("write-sync", "probe", "replace", "append"):
                (disturbed if any(entry["start"] <= end and start <= entry["back"] for entry in during) else quiet).append(end - start)
        kinds = {}
        for kind, _ in self.problems:
            kinds[kind] = kinds.get(kind, 0) + 1
        leaders = 0
        if self.machines:
            for node in self.machines.nodes:
                if os.path.exists(self.machines.log_path("node", node)):
                    leaders += sum("leads the metadata service" in line for line in open(self.machines.log_path("node", node), errors="replace"))
        return {
            "seed": self.options.seed, "commit": self.options.commit, "result": "failed" if self.problems else "ok", "nodes": 3, "replicas": 3,
            "mounts": len(self.machines.mounts) if self.machines else 0, "duration_s": round(time.monotonic() - self.started, 1),
            "faults": faults, "kills": self.nemesis.kills if self.nemesis else 0, "in_flight_at_kills": self.nemesis.in_flight if self.nemesis else 0,
            "operations": measure.count_operations(done), "errors": measure.error_counts(done), "acknowledged": self.acknowledged,
            "acked_then_lost": kinds.get("lost", 0), "wrong_bytes": kinds.get("wrong-bytes", 0), "stale_reads": kinds.get("stale", 0),
            "duplicates": kinds.get("duplicate", 0), "hung_over_30_s": kinds.get("hung", 0), "crashes": kinds.get("crash", 0),
            "other_problems": sum(count for kind, count in kinds.items() if kind in ("other", "verify", "proves-nothing", "run")),
            "latency_ms_p50_p99_max": {"quiet": measure.percentiles(quiet), "fault": measure.percentiles(disturbed)},
            "leader_changes": max(0, leaders - 1), "copies_owed_at_end": self.owed, "repaired_during": self.nemesis.repaired if self.nemesis else 0,
            "verify_findings_before_repair": self.verified["before"], "verify_repaired": self.verified["repaired"],
            "verify_findings_after": self.verified["after"],
            "daemon": self.observer.memory("node") if self.observer else {}, "mount": self.observer.memory("mount") if self.observer else {},
        }

    def clean_up(self):
        if self.observer:
            self.observer.stopped.set()
            self.observer.join()
        for _, process in self.workers:
            if process.poll() is None:
                process.kill()
        if self.machines:
            self.machines.close()
        for _, process in self.workers:
            process.wait()
        if self.options.keep or self.problems:
            self.say(f"logs and records are kept in {self.directory}")
        else:
            shutil.rmtree(self.directory, ignore_errors=True)

    def run(self):
        try:
            self.set_up()
            self.torment()
            self.finish()
        except KeyboardInterrupt:
            self.problem("run", "interrupted")
        except (ClusterError, NetworkError, DiskError, OSError, subprocess.SubprocessError) as error:
            self.problem("run", f"{type(error).__name__}: {error}")
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            for crash in self.machines.crashes if self.machines else []:
                self.problem("crash", f"{crash['process']} ended by itself with {crash['code']}")
            line = json.dumps(self.summary())
            self.clean_up()
        if self.problems:
            self.say(f"FAILED with {len(self.problems)} problems; again with: Scripts/crash-run --seed {self.options.seed}")
        print(line, flush=True)
        return 1 if self.problems else 0


def arguments():
    names = list(Nemesis(None, "", 0, (0, 0), print).faults)
    parser = Parser(
        prog="Scripts/crash-run", description="Runs three daemons on failing machines and disks under checksummed workloads, and proves that nothing was lost.",
        epilog="faults: " + " ".join(names), allow_abbrev=False,
    )
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"), help="of all choices (default: drawn)")
    parser.add_argument("--minutes", type=number, default=10, help="how long faults are injected (default 10)")
    parser.add_argument("--faults", help="comma-separated: only these")
    parser.add_argument("--short", action="store_true", help="the main faults once each, held shortly; --minutes does not count")
    parser.add_argument("--disk-gb", type=number, default=3, help="size of each disk, which lies in memory (default 3)")
    parser.add_argument("--keep", action="store_true", help="keep logs and records also if all is well")
    parser.add_argument("--program", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--disk-program", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--commit", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.faults:
        options.faults = options.faults.split(",")
        for name in options.faults:
            if name not in names:
                parser.error(f"unknown fault {name}; known are {' '.join(names)}")
    return options


def interrupted(*_):
    raise KeyboardInterrupt


if __name__ == "__main__":
    chosen = arguments()
    if not chosen.check:
        signal.signal(signal.SIGTERM, interrupted)
        sys.exit(Run(chosen).run())
