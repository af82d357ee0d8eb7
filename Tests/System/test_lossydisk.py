"""The disk that loses on command what was not synced: what it promises to keep, and that it really loses the rest."""

import contextlib
import errno
import fcntl
import os
import socket
import tempfile

from cluster import Cluster, check, run
from disk import LossyDisk

KIBIBYTE = 1024


@contextlib.contextmanager
def lossy_disk(**options):
    with tempfile.TemporaryDirectory(prefix="dhtfs-test-") as directory:
        with LossyDisk(Cluster.companion("lossydisk"), f"{directory}/disk", **options) as disk:
            yield disk


def sync_directory(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path, content, sync=True, directory=True, offset=0, flags=os.O_CREAT):
    descriptor = os.open(path, os.O_RDWR | flags, 0o600)
    try:
        check(os.pwrite(descriptor, content, offset) == len(content), "a short write")
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if directory:
        sync_directory(os.path.dirname(path))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def fails(code, call):
    try:
        call()
    except OSError as error:
        check(error.errno == code, f"errno {errno.errorcode[error.errno]} instead of {errno.errorcode[code]}")
        return
    check(False, f"succeeded instead of failing with {errno.errorcode[code]}")


def test_disk_drops_what_was_not_synced():
    with lossy_disk() as disk:
        write(f"{disk.path}/synced", b"kept" * 5000)
        write(f"{disk.path}/grown", b"a" * 6000)
        write(f"{disk.path}/grown", b"b" * 20000, sync=False, offset=3000)
        write(f"{disk.path}/cut", b"c" * 10000)
        os.truncate(f"{disk.path}/cut", 10)
        write(f"{disk.path}/unsynced", b"gone" * 5000, sync=False)
        # Read once, so that a page cache would have it.
        check(read(f"{disk.path}/grown")[3000:] == b"b" * 20000, "what was written is not seen")
        disk.drop()
        check(read(f"{disk.path}/synced") == b"kept" * 5000, "synced content is gone")
        check(read(f"{disk.path}/grown") == b"a" * 6000, "content that was not synced is there, or was in a cache")
        check(read(f"{disk.path}/cut") == b"c" * 10000, "a truncation that was not synced is there")
        check(read(f"{disk.path}/unsynced") == b"", "content of a file whose name only was synced")


def test_disk_keeps_names_by_directory_sync_only():
    with lossy_disk() as disk:
        write(f"{disk.path}/old", b"old")
        write(f"{disk.path}/new", b"new")
        write(f"{disk.path}/removed", b"removed")
        os.rename(f"{disk.path}/new", f"{disk.path}/old")
        os.unlink(f"{disk.path}/removed")
        os.mkdir(f"{disk.path}/directory")
        write(f"{disk.path}/directory/file", b"child")
        write(f"{disk.path}/nameless", b"x" * 100, directory=False)
        disk.drop()
        check(not os.path.exists(f"{disk.path}/nameless"), "a name is there that was never synced")
        check((read(f"{disk.path}/old"), read(f"{disk.path}/new")) == (b"old", b"new"), "a rename that was not synced is there, or half of one")
        check(read(f"{disk.path}/removed") == b"removed", "a removal that was not synced is there")
        check(not os.path.exists(f"{disk.path}/directory"), "a directory is there whose parent was not synced")


def test_disk_makes_a_rename_durable_whole():
    with lossy_disk() as disk:
        os.mkdir(f"{disk.path}/a")
        os.mkdir(f"{disk.path}/b")
        sync_directory(disk.path)
        write(f"{disk.path}/a/file", b"moved", directory=False)
        os.rename(f"{disk.path}/a/file", f"{disk.path}/b/file")
        sync_directory(f"{disk.path}/b")
        disk.drop()
        check(read(f"{disk.path}/b/file") == b"moved", "the new name is gone")
        check(os.listdir(f"{disk.path}/a") == [], f"the old name is there: {os.listdir(disk.path + '/a')}")


def test_disk_with_ordered_names():
    with lossy_disk(ordered_names=True) as disk:
        os.mkdir(f"{disk.path}/directory")
        write(f"{disk.path}/directory/first", b"1", sync=False, directory=False)
        write(f"{disk.path}/second", b"2", directory=False)
        write(f"{disk.path}/third", b"3", sync=False, directory=False)
        disk.drop()
        check(sorted(os.listdir(disk.path)) == ["directory", "second"], f"{os.listdir(disk.path)}")
        check(os.listdir(f"{disk.path}/directory") == ["first"], "an earlier name was not kept by a later sync")
        check(read(f"{disk.path}/second") == b"2", "synced content is gone")


def test_disk_tears_and_reorders():
    """Over many seeds, writes that were not synced are kept, dropped and torn, in any order; synced bytes never change."""
    seen = {"kept": 0, "dropped": 0, "torn": 0, "later kept, earlier lost": 0}
    pages = 16
    size = 4 * KIBIBYTE
    with lossy_disk() as disk:
        for seed in range(40):
            path = f"{disk.path}/file{seed}"
            write(path, b"o" * (pages * size))
            write(f"{disk.path}/synced{seed}", b"s" * 5000)
            for page in range(0, pages, 2):
                write(path, b"n" * size, sync=False, directory=False, offset=page * size)
            disk.crash(seed)
            check(read(f"{disk.path}/synced{seed}") == b"s" * 5000, "synced content changed")
            content = read(path)
            check(len(content) == pages * size, f"the size is {len(content)}")
            states = []
            for page in range(pages):
                part = content[page * size : (page + 1) * size]
                if page % 2:
                    check(part == b"o" * size, "a page that was not written to changed")
                    continue
                new = part.count(b"n")
                check(part == b"n" * new + b"o" * (size - new) and new % 512 == 0, "a page is torn elsewhere than between sectors")
                states.append("kept" if new == size else "torn" if new else "dropped")
            for state in states:
                seen[state] += 1
            if "dropped" in states and "kept" in states[states.index("dropped") :]:
                seen["later kept, earlier lost"] += 1
        check(all(seen.values()), f"not everything happened: {seen}")


def test_disk_crash_is_the_same_for_the_same_seed():
    def outcome(seed):
        with lossy_disk() as disk:
            for number in range(30):
                write(f"{disk.path}/f{number}", bytes([number]) * 9000, sync=number % 3 == 0, directory=number % 5 == 0)
            disk.crash(seed)
            return [(name, read(f"{disk.path}/{name}")) for name in sorted(os.listdir(disk.path))]

    check(outcome(7) == outcome(7), "the same seed gave another outcome")
    check(len({repr(outcome(seed)) for seed in range(5)}) > 1, "all seeds give the same outcome")


def test_disk_that_fails_syncs():
    with lossy_disk() as disk:
        path = f"{disk.path}/file"
        write(path, b"old" * 2000)
        disk.tell("fail-sync", "on")
        fails(errno.EIO, lambda: write(path, b"new" * 2000))
        disk.tell("fail-sync", "off")
        write(path, b"", sync=True)
        disk.drop()
        check(read(path) == b"old" * 2000, "a later sync made good what a failed one gave up")
        disk.tell("lie", "on")
        write(path, b"lie" * 2000)
        disk.tell("lie", "off")
        check(read(path) == b"lie" * 2000, "a disk that lies shows what it was given")
        disk.drop()
        check(read(path) == b"old" * 2000, "a disk that lies kept what it was given")
        disk.tell("fail-write", "on")
        fails(errno.EIO, lambda: write(path, b"x"))
        disk.tell("fail-write", "off")
        disk.tell("fail-read", "on")
        fails(errno.EIO, lambda: read(path))
        disk.tell("fail-read", "off")
        check(read(path) == b"old" * 2000, "content after the errors")


def test_disk_that_is_full():
    with lossy_disk(capacity=1 << 20) as disk:
        write(f"{disk.path}/half", b"x" * (512 * KIBIBYTE))
        descriptor = os.open(f"{disk.path}/reserved", os.O_RDWR | os.O_CREAT)
        os.posix_fallocate(descriptor, 0, 256 * KIBIBYTE)
        fails(errno.ENOSPC, lambda: write(f"{disk.path}/more", b"x" * (300 * KIBIBYTE)))
        fails(errno.ENOSPC, lambda: os.posix_fallocate(descriptor, 0, 1 << 20))
        check(os.pwrite(descriptor, b"y" * (256 * KIBIBYTE), 0) == 256 * KIBIBYTE, "reserved room is not there")
        check(os.statvfs(disk.path).f_bavail * 4096 <= 256 * KIBIBYTE, "statfs shows more room than there is")
        os.unlink(f"{disk.path}/half")
        write(f"{disk.path}/more", b"x" * (300 * KIBIBYTE))
        disk.tell("capacity", 4096)
        fails(errno.ENOSPC, lambda: write(f"{disk.path}/other", b"x"))
        os.close(descriptor)


def test_disk_rots():
    with lossy_disk() as disk:
        os.mkdir(f"{disk.path}/a")
        for name in ("a/x", "a/y", "b"):
            write(f"{disk.path}/{name}", bytes(100_000))
        check(len(disk.rot(3, 20, "a/")) == 20, "not as many bits were flipped as asked for")
        flipped = sum(bin(byte).count("1") for name in ("a/x", "a/y") for byte in read(f"{disk.path}/{name}"))
        check(0 < flipped <= 20, f"{flipped} bits differ")
        check(not any(read(f"{disk.path}/b")), "a file rotted that should not")
        disk.drop()
        check(sum(bin(byte).count("1") for name in ("a/x", "a/y") for byte in read(f"{disk.path}/{name}")) == flipped, "rot is not on the disk")


def test_disk_serves_what_stores_need():
    """Hard links, exclusive creation, both kinds of locks, Unix sockets, and old descriptors after a power loss."""
    with lossy_disk() as disk:
        path = f"{disk.path}/file"
        write(path, b"linked" * 1000)
        os.link(path, f"{disk.path}/link")
        check(os.stat(path).st_nlink == 2, "a hard link is not counted")
        fails(errno.EEXIST, lambda: os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR))
        run("flock", "--nonblock", path, "true")
        with open(path, "r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as caller:
            listener.bind(f"{disk.path}/socket")
            listener.listen()
            caller.connect(f"{disk.path}/socket")
        sync_directory(disk.path)
        descriptor = os.open(path, os.O_RDWR)
        disk.drop()
        fails(errno.EIO, lambda: os.pread(descriptor, 10, 0))
        os.close(descriptor)
        check(read(f"{disk.path}/link") == b"linked" * 1000, "a hard link is gone")
        answer = run(Cluster.companion("lossydisk"), "--send", disk.socket, "nonsense", ok=False)
        check("not a command" in answer, f"the answer to a wrong command: {answer}")


def test_stores_survive_power_loss():
    """On a disk that keeps nothing but what was synced, the stores that a daemon has flushed are there after a power loss, and so is every synced file."""
    with lossy_disk() as disk, Cluster(nodes=1, directory=disk.path) as cluster:
        content = os.urandom(300_000)
        write(f"{cluster.mount}/kept", content)
        node = f"{cluster.data}/node1"
        cluster.kill(1)
        cluster.kill_mount()
        run("umount", "-l", cluster.mount)
        disk.drop()
        for store in ("meta/state", "blocks/index", "resync"):
            check(os.path.exists(f"{node}/{store}/CURRENT"), f"{store} is gone")
        cluster.up()
        check(read(f"{cluster.mount}/kept") == content, "a synced file is gone")
        cluster.verify("--deep")
