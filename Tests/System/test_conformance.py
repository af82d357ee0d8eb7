"""The conformance suite (Tests/Conformance) on a local ext4, on a mount, and on two mounts of one cluster; and random operations on both."""

import contextlib
import os
import tempfile

from cluster import Cluster, check, run


@contextlib.contextmanager
def local_ext4():
    """A directory on ext4, which says what is right: an image of its own, or else one on /."""
    with tempfile.TemporaryDirectory(prefix="dhtfs-oracle-") as directory:
        # The cases act as several users.
        os.chmod(directory, 0o755)
        image, path = os.path.join(directory, "image"), os.path.join(directory, "ext4")
        os.mkdir(path)
        with open(image, "wb") as file:
            file.truncate(4 << 30)
        run("mkfs.ext4", "-q", "-F", image)
        code, _, errors = run("mount", "-o", "loop,noatime", image, path, ok=None)
        if code == 0:
            try:
                yield path
            finally:
                run("umount", path)
            return
        kind = run("stat", "-f", "-c", "%T", "/").strip()
        check(kind == "ext2/ext3", f"no loop device ({errors.strip()}), and / is {kind}, not ext4")
        with tempfile.TemporaryDirectory(prefix="dhtfs-oracle-", dir="/var") as path:
            os.chmod(path, 0o755)
            yield path


def conformance(*words, limit=1500):
    code, output, errors = run(Cluster.companion("dhtfs-conformance"), *words, ok=None, timeout=limit)
    check(code == 0, f"dhtfs-conformance {' '.join(map(str, words))}: exit code {code}\n{output[-6000:]}{errors[-1000:]}")
    return output


@contextlib.contextmanager
def two_mounts():
    """The second one as on a kernel that has requests come through the device only."""
    with Cluster() as cluster:
        os.chmod(cluster.directory, 0o755)
        yield cluster, cluster.second_mount(1), cluster.second_mount(2, "io_uring=no")


def test_the_cases_hold_on_ext4():
    with local_ext4() as tree:
        conformance("--oracle-rules", "--tree", tree)


def test_the_cases_hold_on_a_mount():
    with Cluster() as cluster:
        os.chmod(cluster.directory, 0o755)
        conformance("--tree", cluster.mount)
        cluster.verify()


def test_the_cases_of_two_mounts_hold():
    with two_mounts() as (cluster, one, other):
        conformance("--only-two", "--tree", one, "--second", other)
        cluster.verify()


def test_random_operations_on_a_mount_do_as_on_ext4():
    with local_ext4() as oracle, Cluster() as cluster:
        os.chmod(cluster.directory, 0o755)
        for seed in range(1, 3):
            conformance("--random", 2000, "--seed", seed, "--tree", cluster.mount, "--oracle", oracle)
        cluster.verify()


def test_random_operations_on_two_mounts_do_as_on_ext4():
    with local_ext4() as oracle, two_mounts() as (cluster, one, other):
        for seed in range(101, 103):
            conformance("--random", 1500, "--seed", seed, "--tree", one, "--second", other, "--oracle", oracle)
        cluster.verify()
