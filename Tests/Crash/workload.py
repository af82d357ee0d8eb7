"""What all workloads have in common. Each runs in a process of its own: worker.py."""

import hashlib
import os
import random
import subprocess
import time


class Finding(Exception):
    """Something was seen that must not be, and is recorded already."""


def digest(content):
    return hashlib.sha256(content).hexdigest()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def sync_directory(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path, content, flags=os.O_EXCL):
    """Creates a file and syncs it, not its directory."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o644)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_mounted(mount):
    try:
        return os.stat(mount).st_dev != os.stat(os.path.dirname(mount)).st_dev
    except OSError:
        return False


class Workload:
    """Subclasses say what one step is, and, by `check`, what must be there at the end."""

    name = ""
    # Seconds between two steps.
    pause = 0.05

    def __init__(self, recorder, mount, other, seed):
        self.recorder = recorder
        self.mount = mount
        self.other = other
        self.random = random.Random(f"{seed} {recorder.name}")
        self.directory = f"{mount}/{self.name}"
        self.ready = False
        self.number = 0

    def set_up(self):
        """Again after it failed; must not mind what is there already."""
        os.makedirs(self.directory, exist_ok=True)
        sync_directory(self.mount)

    def step(self):
        raise NotImplementedError

    def after_error(self):
        """Called after a step failed, until it succeeds."""

    def run(self):
        failed = False
        while not self.recorder.is_stopping():
            try:
                if not self.ready:
                    with self.recorder.operation("set-up"):
                        self.set_up()
                    self.ready = True
                if failed:
                    self.after_error()
                    failed = False
                self.number += 1
                self.step()
            except (OSError, subprocess.SubprocessError):
                failed = True
                time.sleep(0.2)
            time.sleep(self.pause)

    def command(self, *words, timeout=150, **options):
        """Runs a program; its failure is an OSError if it says so in words."""
        result = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=timeout, **options)
        if result.returncode != 0:
            raise subprocess.CalledProcessError(result.returncode, words, result.stdout[-3000:], result.stderr[-3000:])
        return result.stdout

    @classmethod
    def check(cls, records, mount, report):
        """At the end, on a fresh mount: calls report(kind, what) for what is wrong, and returns how many acknowledged things it looked for."""
        return 0


def lines(records, prefix):
    """(workload, words) of the acknowledgements of all workloads whose name begins so."""
    for name in sorted(os.listdir(records)):
        if name.startswith(f"kept-{prefix}"):
            for line in open(f"{records}/{name}"):
                yield name[5:], line.split()
