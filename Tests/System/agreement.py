"""One side of test_agreement: does random things to a few names of a tree, and tells what it sees.

usage: agreement.py TREE SEED    requests on standard input, one JSON answer each: {"operations": N, "delay": SECONDS}, or {} for what there is
"""

import errno
import hashlib
import json
import os
import random
import stat
import sys
import time

NAMES = ["a", "b", "c", "d", "d/a", "d/b", "e", "e/x"]
HANDLES_MAX = 4


class Side:
    """Operations are called with two names; most use the first."""

    def __init__(self, tree, seed):
        self.tree = tree
        self.random = random.Random(seed)
        self.handles = []
        self.operations = [getattr(self, name) for name in dir(Side) if name.startswith("do_")]
        # What leases and caches are about comes more often.
        self.operations += [self.do_create, self.do_write, self.do_write, self.do_keep, self.do_stat, self.do_read, self.do_unlink, self.do_rename]

    def bytes(self):
        return self.random.randbytes(self.random.choice([1, 10, 5000]))

    def do_create(self, path, _):
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o644))

    def do_create_exclusively(self, path, _):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def do_write(self, path, _):
        with open(path, "r+b", buffering=0) as file:
            file.seek(self.random.choice([0, 0, 1, 4096, 10000]))
            file.write(self.bytes())

    def do_append(self, path, _):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, b"line\n")
        os.close(descriptor)

    def do_truncate(self, path, _):
        os.truncate(path, self.random.choice([0, 1, 100, 5000]))

    def do_truncate_by_opening(self, path, _):
        os.close(os.open(path, os.O_RDWR | os.O_TRUNC))

    def do_read(self, path, _):
        with open(path, "rb") as file:
            file.read()

    def do_stat(self, path, _):
        os.lstat(path)

    def do_change_mode(self, path, _):
        os.chmod(path, self.random.choice([0o600, 0o644, 0o777]))

    def do_change_times(self, path, _):
        os.utime(path, ns=(self.random.randrange(10**18), self.random.randrange(10**18)))

    def do_set_attribute(self, path, _):
        os.setxattr(path, "user.k", self.random.randbytes(4))

    def do_get_attribute(self, path, _):
        os.getxattr(path, "user.k")

    def do_remove_attribute(self, path, _):
        os.removexattr(path, "user.k")

    def do_link(self, path, other):
        os.link(path, other)

    def do_symlink(self, path, other):
        os.symlink(os.path.basename(other), path)

    def do_unlink(self, path, _):
        os.unlink(path)

    def do_rename(self, path, other):
        os.rename(path, other)

    def do_make_directory(self, path, _):
        os.mkdir(path)

    def do_remove_directory(self, path, _):
        os.rmdir(path)

    def do_list(self, path, _):
        for entry in os.scandir(path):
            entry.stat(follow_symlinks=False)

    def do_list_all(self, *_):
        self.do_list(self.tree, None)

    def do_keep(self, path, _):
        if len(self.handles) < HANDLES_MAX:
            self.handles.append(os.open(path, os.O_RDWR | os.O_NOFOLLOW))

    def do_close(self, *_):
        if self.handles:
            os.close(self.handles.pop(self.random.randrange(len(self.handles))))

    def do_write_kept(self, *_):
        if self.handles:
            os.pwrite(self.random.choice(self.handles), self.random.randbytes(7), self.random.choice([0, 3, 9000]))

    def do_read_kept(self, *_):
        if self.handles:
            os.pread(self.random.choice(self.handles), 20000, 0)

    def do_truncate_kept(self, *_):
        if self.handles:
            os.ftruncate(self.random.choice(self.handles), self.random.choice([0, 4096, 9003]))

    def do_sync_kept(self, *_):
        if self.handles:
            os.fsync(self.random.choice(self.handles))

    def step(self):
        operation, names = self.random.choice(self.operations), self.random.choices(NAMES, k=2)
        try:
            operation(*(os.path.join(self.tree, name) for name in names))
            result = "ok"
        except OSError as error:
            result = errno.errorcode[error.errno]
        return f"{operation.__name__[3:]} {names[0]} {names[1]}: {result}"

    def seen(self, status, descriptor):
        """What all descriptors and names of an inode must show, and all sides. Not st_blocks, an estimate until the content is committed."""
        result = {name: getattr(status, name) for name in ("st_mode", "st_nlink", "st_size", "st_mtime_ns", "st_ctime_ns")}
        if descriptor is not None:
            result["content"] = hashlib.md5(os.pread(descriptor, 1 << 20, 0)).hexdigest()
        return result

    def show(self, name):
        path = os.path.join(self.tree, name)
        try:
            status = os.lstat(path)
        except OSError as error:
            return errno.errorcode[error.errno]
        if stat.S_ISLNK(status.st_mode):
            return ["symlink", os.readlink(path), self.seen(status, None)]
        try:
            attribute = os.getxattr(path, "user.k").hex()
        except OSError as error:
            attribute = errno.errorcode[error.errno]
        if stat.S_ISDIR(status.st_mode):
            return ["directory", status.st_ino, attribute, sorted(os.listdir(path)), self.seen(status, None)]
        with open(path, "rb") as file:
            return ["file", status.st_ino, attribute, self.seen(status, file.fileno())]

    def everything(self):
        names = {name: self.show(name) for name in ["."] + NAMES}
        inodes = [[value[1], value[3]] for value in names.values() if value[0] == "file"]
        for handle in self.handles:
            status = os.fstat(handle)
            inodes.append([status.st_ino, self.seen(status, handle)])
        return {"names": names, "inodes": inodes}


def main():
    side = Side(sys.argv[1], int(sys.argv[2]))
    for line in sys.stdin:
        request = json.loads(line)
        time.sleep(request.get("delay", 0))
        steps = range(request.get("operations", 0))
        print(json.dumps([side.step() for _ in steps] if steps else side.everything()), flush=True)


main()
