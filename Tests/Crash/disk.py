"""A lossy disk: a mount that forgets on command what was not synced."""

import contextlib
import json
import os
import socket
import subprocess
import time


class DiskError(Exception):
    pass


class LossyDisk:
    """Runs `lossydisk` at `path`, which is created. The content lives as long as the process."""

    def __init__(self, program, path, capacity=4 << 30, ordered_names=False):
        self.path = path
        self.capacity = capacity
        self.socket = f"{path}.control"
        os.makedirs(path, exist_ok=True)
        words = [program, path, "--control", self.socket, "--capacity", str(capacity)]
        self.log = open(f"{path}.disk.log", "w")
        self.process = subprocess.Popen(words + (["--ordered-names"] if ordered_names else []), stderr=self.log, start_new_session=True)
        end = time.monotonic() + 30
        while not os.path.ismount(path):
            if self.process.poll() is not None or time.monotonic() > end:
                self.close()
                raise DiskError(f"the disk at {path} did not start: {open(self.log.name).read()}")
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def tell(self, *words):
        """Gives a command; returns the answer without "ok"."""
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(60)
            channel.connect(self.socket)
            channel.sendall((" ".join(map(str, words)) + "\n").encode())
            answer = b""
            while part := channel.recv(65536):
                answer += part
        text = answer.decode().strip()
        if not text or text.startswith("error"):
            raise DiskError(f"{' '.join(map(str, words))}: {text or 'no answer'}")
        return text.removeprefix("ok").strip()

    def crash(self, seed):
        self.tell("crash", seed)

    def drop(self):
        self.tell("drop")

    def rot(self, seed, count, prefix=""):
        """Flips bits; returns what was hit, as "path@byte"."""
        return self.tell("rot", seed, count, prefix).split()[1:]

    def stats(self):
        return json.loads(self.tell("stats"))

    def close(self):
        with contextlib.suppress(OSError):
            subprocess.run(["umount", "-l", self.path], capture_output=True)
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            self.process.terminate()
            self.process.wait(timeout=10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()
