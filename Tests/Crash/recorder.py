"""What a workload did, in files outside of dhtfs: every operation with its times and result, what was acknowledged, and what was seen to be wrong."""

import contextlib
import errno
import mmap
import os
import struct
import time

STATE = struct.Struct("<d32s")


class Recorder:
    """One for each workload process. `now-NAME` says what is under way, `ops-NAME` what was done, `kept-NAME` what must be there, `wrong-NAME` what is wrong."""

    def __init__(self, directory, name):
        self.directory = directory
        self.name = name
        self.operations = open(f"{directory}/ops-{name}", "a", buffering=1)
        self.kept = open(f"{directory}/kept-{name}", "a", buffering=1)
        self.mistakes = open(f"{directory}/wrong-{name}", "a", buffering=1)
        with open(f"{directory}/now-{name}", "wb") as file:
            file.write(bytes(STATE.size))
        with open(f"{directory}/now-{name}", "r+b") as file:
            self.now = mmap.mmap(file.fileno(), STATE.size)

    def is_stopping(self):
        return os.path.exists(f"{self.directory}/stop")

    def keep(self, line):
        self.kept.write(line + "\n")

    def wrong(self, kind, what):
        """kind: lost, wrong-bytes, stale, duplicate, other."""
        self.mistakes.write(f"{time.monotonic():.3f} {kind} {what}\n")

    @contextlib.contextmanager
    def operation(self, kind):
        """Runs an operation that may fail: the error is recorded, and raised again."""
        start = time.monotonic()
        STATE.pack_into(self.now, 0, start, kind.encode())
        result = "ok"
        try:
            yield
        except OSError as error:
            result = errno.errorcode.get(error.errno, "failed")
            raise
        except BaseException as error:
            result = type(error).__name__
            raise
        finally:
            self.operations.write(f"{start:.4f} {time.monotonic():.4f} {kind} {result}\n")
            STATE.pack_into(self.now, 0, 0.0, b"")


def under_way(directory):
    """name -> (kind, since) of the operations under way in all workloads."""
    found = {}
    for name in os.listdir(directory):
        if name.startswith("now-"):
            with open(f"{directory}/{name}", "rb") as file:
                content = file.read(STATE.size)
            if len(content) == STATE.size:
                since, kind = STATE.unpack(content)
                if since:
                    found[name[4:]] = (kind.rstrip(b"\0").decode(), since)
    return found


def operations(directory):
    """(workload, start, end, kind, result) of everything that was done."""
    found = []
    for name in sorted(os.listdir(directory)):
        if name.startswith("ops-"):
            for line in open(f"{directory}/{name}"):
                words = line.split()
                if len(words) == 4:
                    found.append((name[4:], float(words[0]), float(words[1]), words[2], words[3]))
    return found
