"""Full disks: the right errno, nothing lost, and service goes on when room comes back."""

import errno
import os
import tempfile

from cluster import Cluster, check, run, wait_until
from disk import LossyDisk
from test_tools import MEBIBYTE


def fill(path, limit):
    """Writes and syncs mebibytes until the disk is full; returns what was acknowledged."""
    acknowledged = {}
    for number in range(limit):
        content = os.urandom(MEBIBYTE)
        try:
            with open(f"{path}/fill{number}", "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            check(error.errno == errno.ENOSPC, f"errno {errno.errorcode[error.errno]} instead of ENOSPC")
            return acknowledged
        acknowledged[f"fill{number}"] = content
    raise AssertionError(f"{limit} MiB fitted: the disk is not as small as the test thinks")


def test_all_disks_full():
    with tempfile.TemporaryDirectory(prefix="dhtfs-test-") as directory:
        run("mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", directory)
        try:
            with Cluster(directory=directory, settings="reserve_mb=16") as cluster:
                acknowledged = fill(cluster.mount, 400)
                check(len(acknowledged) >= 10, f"only {len(acknowledged)} MiB fitted")
                for name, content in acknowledged.items():
                    check(open(f"{cluster.mount}/{name}", "rb").read() == content, f"{name} differs on a full disk")
                os.listdir(cluster.mount)
                check(os.statvfs(cluster.mount).f_bavail * os.statvfs(cluster.mount).f_frsize < 64 * MEBIBYTE, "df shows much room")
                run("mount", "-o", "remount,size=800m", directory)

                def writes_again():
                    try:
                        with open(f"{cluster.mount}/again", "wb") as file:
                            file.write(b"again" * 100_000)
                            file.flush()
                            os.fsync(file.fileno())
                        return True
                    except OSError:
                        return False

                wait_until(writes_again, "writes after room came back")
                for name, content in acknowledged.items():
                    check(open(f"{cluster.mount}/{name}", "rb").read() == content, f"{name} differs at the end")
        finally:
            run("umount", "-l", directory, ok=None)


def test_metadata_comes_back_after_a_full_disk():
    """The disk has no room even for the metadata log: operations fail. When room comes back they succeed again, and nothing that was synced is lost."""
    with tempfile.TemporaryDirectory(prefix="dhtfs-test-") as directory:
        with LossyDisk(Cluster.companion("lossydisk"), f"{directory}/disk", capacity=512 << 20) as disk:
            with Cluster(nodes=1, directory=disk.path, settings="reserve_mb=16,deadline_s=3") as cluster:
                kept = {}
                process = cluster.pid(1)

                def write(name):
                    # Small enough to lie in its inode: only metadata is written.
                    content = os.urandom(3000)
                    try:
                        with open(f"{cluster.mount}/{name}", "wb") as file:
                            file.write(content)
                            file.flush()
                            os.fsync(file.fileno())
                    except OSError:
                        return False
                    kept[name] = content
                    return True

                check(write("first"), "the first write failed")
                disk.tell("capacity", disk.stats()["used"])
                check(any(not write(f"f{number}") for number in range(20_000)), "the metadata of 20,000 files found room on a full disk")
                check(cluster.status()["nodes"][0]["role"] == "failed", "the metadata server did not stop on a full disk")
                disk.tell("capacity", disk.capacity)
                wait_until(lambda: write("after"), "writes after room came back")
                check(cluster.pid(1) == process, "the daemon has another number")
                for name, content in kept.items():
                    check(open(f"{cluster.mount}/{name}", "rb").read() == content, f"{name} differs")
                cluster.verify("--deep")


def test_one_disk_full():
    """With two of three replicas writable a quorum can be had: writers see nothing."""
    with Cluster(mount=False) as cluster:
        cluster.down()
        path = f"{cluster.data}/node2/blocks"
        os.makedirs(path, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", path)
        try:
            cluster.mount = f"{cluster.directory}/mnt"
            cluster.settings = "reserve_mb=8"
            run("find", path, "-mindepth", "1", "-delete")
            cluster.up()
            contents = [os.urandom(MEBIBYTE) for _ in range(80)]
            for number, content in enumerate(contents):
                with open(f"{cluster.mount}/f{number}", "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            for number, content in enumerate(contents):
                check(open(f"{cluster.mount}/f{number}", "rb").read() == content, f"f{number} differs")
        finally:
            cluster.down()
            run("umount", "-l", path, ok=None)
