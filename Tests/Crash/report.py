"""What a run measured: one line of JSON."""

import os
import threading
import time

from recorder import operations, under_way

HUNG = 30


class Observer(threading.Thread):
    """Looks at all processes from outside: memory, descriptors, unexpected ends."""

    def __init__(self, machines, say):
        super().__init__(daemon=True)
        self.machines = machines
        self.say = say
        self.samples = {}
        self.stopped = threading.Event()

    def run(self):
        rounds = 0
        while not self.stopped.wait(0.5):
            for crash in self.machines.find_crashes():
                self.say(f"!! {crash['process']} ended by itself with {crash['code']}:\n   " + "\n   ".join(crash["log"]))
            rounds += 1
            if rounds % 10 == 0:
                for kind, number, process in self.machines.processes():
                    if process.poll() is None:
                        self.sample(kind, number, process.pid)

    def sample(self, kind, number, pid):
        try:
            descriptors = len(os.listdir(f"/proc/{pid}/fd"))
            resident = next(int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS:")) / 1024
        except (OSError, StopIteration):
            return
        self.samples.setdefault((kind, number, pid), []).append((time.monotonic(), resident, descriptors))

    def memory(self, kind):
        """Largest memory and number of descriptors, and their growth per hour in the process that was seen longest."""
        mine = {key: samples for key, samples in self.samples.items() if key[0] == kind}
        if not mine:
            return {}
        longest = max(mine.values(), key=lambda samples: samples[-1][0] - samples[0][0])
        # The first minute fills caches.
        late = [sample for sample in longest if sample[0] > longest[0][0] + 60] or longest
        return {
            "rss_mib_max": round(max(sample[1] for samples in mine.values() for sample in samples), 1),
            "fds_max": max(sample[2] for samples in mine.values() for sample in samples),
            "observed_s": round(longest[-1][0] - longest[0][0]),
            "rss_mib_per_hour": round(slope([(sample[0], sample[1]) for sample in late]) * 3600, 1),
            "fds_per_hour": round(slope([(sample[0], sample[2]) for sample in late]) * 3600, 1),
        }


def slope(points):
    """Of the straight line through the points (least squares)."""
    count = len(points)
    if count < 2:
        return 0
    middle = (sum(x for x, _ in points) / count, sum(y for _, y in points) / count)
    spread = sum((x - middle[0]) ** 2 for x, _ in points)
    return sum((x - middle[0]) * (y - middle[1]) for x, y in points) / spread if spread else 0


def percentiles(durations):
    if not durations:
        return None
    ordered = sorted(durations)
    return [round(ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000, 1) for part in (0.5, 0.99, 1)]


def count_operations(done):
    """kind -> {ok, failed, unknown}. Reading that failed changed nothing; what became of a change that failed is not known."""
    counts = {}
    for _, _, _, kind, result in done:
        count = counts.setdefault(kind, {"ok": 0, "failed": 0, "unknown": 0})
        harmless = kind in ("read", "fio-verify", "lock") or result in ("ENOSPC", "EROFS", "ENOENT")
        count["ok" if result == "ok" else "failed" if harmless else "unknown"] += 1
    return counts


def error_counts(done):
    counts = {}
    for *_, result in done:
        if result != "ok":
            counts[result] = counts.get(result, 0) + 1
    return counts


def longest_gap(done, begin, end):
    """The longest time in which no operation of a mount succeeded, over all mounts."""
    longest = 0
    for mount in {name[-1] for name, *_ in done}:
        times = sorted(finished for name, _, finished, _, result in done if name[-1] == mount and result == "ok" and begin <= finished <= end)
        times = [begin, *times, end]
        longest = max(longest, max(later - earlier for earlier, later in zip(times, times[1:])))
    return longest


def hung(records, done, waits):
    """Operations that took, or take, longer than HUNG seconds although their mount had a cluster to work with."""
    now = time.monotonic()
    candidates = [(name, kind, start, end) for name, start, end, kind, _ in done if end - start > HUNG]
    candidates += [(name, kind, since, now) for name, (kind, since) in under_way(records).items() if now - since > HUNG]
    found = []
    for name, kind, start, end in candidates:
        # Several programs or waiting for a lock of other workloads: not one operation.
        if kind in ("git-commit", "git-gc", "set-up", "lock", "fio-write", "fio-verify"):
            continue
        waited = sum(max(0, min(end, until) - max(start, since)) for since, until, mounts in waits if int(name[-1]) in mounts)
        if end - start - waited > HUNG:
            found.append(f"{name} {kind} {end - start:.1f} s")
    return found
