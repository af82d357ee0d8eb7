"""Full disks: the right errno, nothing lost, and service goes on when room comes back."""

import errno
import os
import tempfile

from cluster import Cluster, check, run, wait_until
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
