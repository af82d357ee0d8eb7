"""Daemons and mounts that are killed, and bytes that rot."""

import contextlib
import fcntl
import hashlib
import os
import signal
import subprocess
import threading

from cluster import Cluster, alive, check, check_same_tree, drop_caches, run, wait_until
from test_tools import MEBIBYTE, digest_of


def make_tree(path, files=1500):
    """Files of all sizes around the limits of inline content and blocks."""
    os.makedirs(path)
    sizes = [0, 1, 100, 4096, 4097, 70_000, MEBIBYTE, MEBIBYTE + 1, 3 * MEBIBYTE]
    for number in range(files):
        directory = f"{path}/d{number % 20}"
        os.makedirs(directory, exist_ok=True)
        size = sizes[number % len(sizes)] if number % 50 == 0 or number % len(sizes) < 6 else 2000
        with open(f"{directory}/f{number}", "wb") as file:
            file.write(os.urandom(size))


def kill_during_copy(choose):
    with Cluster() as cluster:
        source = f"{cluster.directory}/source"
        make_tree(source)
        victim = choose(cluster)
        copy = subprocess.Popen(["cp", "-a", source, f"{cluster.mount}/copy"], stderr=subprocess.PIPE, text=True)
        wait_until(lambda: sum(len(names) for _, _, names in os.walk(f"{cluster.mount}/copy")) > 200, "the copy to have begun")
        check(copy.poll() is None, "the copy was over before the kill: the test proves nothing")
        cluster.kill(victim)
        _, errors = copy.communicate(timeout=300)
        check(copy.returncode == 0, f"the copy failed: {errors}")
        check_same_tree(source, f"{cluster.mount}/copy")
        with open(f"{cluster.mount}/after", "wb") as file:
            file.write(b"after" * 100_000)
            file.flush()
            os.fsync(file.fileno())
        status = cluster.status()
        down = [node["node"] for node in status["nodes"] if node["state"] == "down"]
        check([cluster.node_number(node) for node in down] == [victim], f"status shows as down: {down}")
        check(not status["healthy"], "status calls the cluster healthy")
        drop_caches()
        check_same_tree(source, f"{cluster.mount}/copy")
        cluster.up()
        cluster.wait_until_whole()
        os.sync()
        cluster.verify("--deep")


def test_kill_the_leader_during_a_copy():
    kill_during_copy(lambda cluster: cluster.leader())


def test_kill_a_follower_during_a_copy():
    kill_during_copy(lambda cluster: next(number for number in (3, 2, 1) if number != cluster.leader()))


def test_kill_each_daemon_in_turn():
    with Cluster() as cluster:
        content = {}
        for victim in (1, 2, 3):
            cluster.kill(victim)
            for number in range(20):
                path = f"{cluster.mount}/v{victim}-{number}"
                content[path] = os.urandom(200_000)
                with open(path, "wb") as file:
                    file.write(content[path])
                    file.flush()
                    os.fsync(file.fileno())
            for path, expected in content.items():
                check(open(path, "rb").read() == expected, f"{path} differs while node {victim} is down")
            cluster.up()
            cluster.wait_until_whole()
        drop_caches()
        for path, expected in content.items():
            check(open(path, "rb").read() == expected, f"{path} differs at the end")
        cluster.verify("--deep")


def test_kill_everything_after_fsync():
    with Cluster() as cluster:
        recorded = {}
        stop = threading.Event()

        def write(worker):
            number = 0
            with contextlib.suppress(OSError):
                while not stop.is_set():
                    path = f"w{worker}-{number}"
                    content = os.urandom(1 + number * 997 % 150_000)
                    with open(f"{cluster.mount}/{path}", "wb") as file:
                        file.write(content)
                        file.flush()
                        os.fsync(file.fileno())
                    recorded[path] = hashlib.sha256(content).hexdigest()
                    number += 1

        workers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
        for worker in workers:
            worker.start()
        wait_until(lambda: len(recorded) > 200, "200 files to be synced")
        manifest = dict(recorded)
        for number in (1, 2, 3):
            os.kill(cluster.pid(number), 9)
        cluster.kill_mount()
        stop.set()
        run("umount", "-l", cluster.mount)
        for worker in workers:
            worker.join()
        for number in (1, 2, 3):
            cluster.kill(number)
        cluster.up()
        for path, expected in manifest.items():
            check(digest_of(f"{cluster.mount}/{path}") == expected, f"{path} was synced and is lost or different")
        cluster.wait_until_whole()
        cluster.verify("--deep")


def test_up_while_a_killed_daemon_ends():
    """A killed process holds its locks until its last thread is gone. Here somebody else does."""

    def has_sockets(process):
        with contextlib.suppress(OSError):
            return any(os.readlink(f"/proc/{process.pid}/fd/{name}").startswith("socket:") for name in os.listdir(f"/proc/{process.pid}/fd"))

    with Cluster(nodes=2, mount=False) as cluster:
        cluster.kill(2)
        with open(f"{cluster.data}/node2/lock", "r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            up = subprocess.Popen([Cluster.program, "up", cluster.data])
            # It asks those that run, so it has taken this one for such.
            wait_until(lambda: has_sockets(up) or up.poll() is not None, "what `up` asks")
        check(up.wait(timeout=120) == 0, "a daemon that was on its end was not started anew")


def test_killed_mount_comes_back():
    with Cluster() as cluster:
        with open(f"{cluster.mount}/file", "w") as file:
            file.write("kept")
            file.flush()
            os.fsync(file.fileno())
        # Another process takes its place, again and again.
        for _ in range(2):
            process = cluster.mount_pid()
            os.kill(process, 9)
            wait_until(lambda: os.path.exists(f"{cluster.mount}/file") and cluster.mount_pid() != process, "the mount to come back")
            check(open(f"{cluster.mount}/file").read() == "kept", "content after the mount came back")
        cluster.kill_mount()
        cluster.up()
        check(open(f"{cluster.mount}/file").read() == "kept", "content after the mount was made again")
        # Unmounted, it stays away: also where the process was killed and the dead mount then taken away.
        keeper = int(open(f"{cluster.data}/mount.pid").readline())
        cluster.dhtfs("unmount", cluster.mount)
        wait_until(lambda: not alive(keeper), "the end of the process that keeps the mount alive")
        check(not os.path.ismount(cluster.mount), "unmounted and still there")
        cluster.up()
        keeper, process = int(open(f"{cluster.data}/mount.pid").readline()), cluster.mount_pid()
        for number in (1, 2, 3):
            cluster.kill(number)
        os.kill(process, 9)
        wait_until(lambda: not alive(process), "the end of the mount process")
        run("umount", "-l", cluster.mount)
        os.kill(keeper, signal.SIGTERM)
        wait_until(lambda: not alive(keeper), "the end of the process that keeps the mount alive")
        check(not os.path.ismount(cluster.mount), "unmounted and still there")


def test_mount_is_killed_at_any_time():
    with Cluster(mount=False) as cluster:
        cluster.mount = f"{cluster.directory}/mnt"
        os.mkdir(cluster.mount)
        path = f"{cluster.directory}/mount.log"

        def start(sign, *words):
            with open(path, "w") as log:
                words = ["mount", "--foreground", *words, "--data", f"{cluster.data}/node1", cluster.mount]
                process = subprocess.Popen([Cluster.program, *words], stderr=log)
            # What is to be hit lasts for a moment only.
            while process.poll() is None and sign not in open(path).read():
                pass
            check(process.poll() is None, f"the mount ended: {open(path).read()}")
            return process

        # As it begins: none of its threads waits for an answer of its own, which would keep it from ending.
        for _ in range(20):
            process = start("session begins")
            process.kill()
            process.wait(timeout=60)
        # Whoever starts another one sees that it is gone, although the kernel may not be done with it.
        for number in range(60):
            keeper = start("mounted at=", "--keep")
            os.kill(cluster.mount_pid(), signal.SIGKILL)
            wait_until(lambda: keeper.poll() is not None or "another one is started" in open(path).read(), "the end of the mount")
            check(keeper.poll() is None, f"mount {number} was not started again")
            keeper.terminate()
            keeper.wait(timeout=60)
        cluster.up()
        check(os.path.ismount(cluster.mount), "not mounted after all")


def test_write_then_rename_is_never_half():
    """A file replaced by write-temp-then-rename is the old or the new one after a crash, never empty."""
    with Cluster() as cluster:
        target = f"{cluster.mount}/target"
        old = b"old" * 50_000
        new = b"new" * 50_000
        with open(target, "wb") as file:
            file.write(old)
            file.flush()
            os.fsync(file.fileno())
        with open(f"{target}.tmp", "wb") as file:
            file.write(new)
        os.rename(f"{target}.tmp", target)
        cluster.kill_mount()
        cluster.up()
        check(open(target, "rb").read() in (old, new), "half a file")


def test_flipped_byte_is_found_and_mended():
    with Cluster() as cluster:
        path = f"{cluster.mount}/precious"
        content = os.urandom(3 * MEBIBYTE)
        with open(path, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        cluster.wait_until_whole()
        flip_in_segment(cluster, 2, content[MEBIBYTE + 5000 : MEBIBYTE + 5064])
        drop_caches()
        check(open(path, "rb").read() == content, "wrong bytes were read")
        report = cluster.verify("--deep", code=4)
        findings = report["findings"]
        check(len(findings) == 1, f"findings: {findings}")
        key = hashlib.sha256(content[MEBIBYTE : 2 * MEBIBYTE]).hexdigest()
        check(findings[0]["block"] == key, f"another block was named: {findings}")
        check("/precious" in findings[0]["path"], f"the path was not named: {findings}")
        check(cluster.node_number(findings[0]["node"]) == 2, f"another node was named: {findings}")
        repaired = cluster.verify("--deep", "--repair", code=1)
        check(repaired["repaired"] == 1, f"repair says {repaired}")
        cluster.verify("--deep")
        drop_caches()
        check(open(path, "rb").read() == content, "wrong bytes after repair")


def flip_in_segment(cluster, number, needle):
    """Flips one bit of the first byte of `needle` where it lies in the block store of a node."""
    for root, _, names in os.walk(f"{cluster.data}/node{number}/blocks"):
        for name in names:
            with open(os.path.join(root, name), "r+b") as file:
                body = file.read()
                offset = body.find(needle)
                if offset >= 0:
                    file.seek(offset)
                    file.write(bytes([needle[0] ^ 1]))
                    file.flush()
                    os.fsync(file.fileno())
                    return
    raise AssertionError("the content is in no segment: nothing was flipped")


def test_lost_copies_are_found_and_mended():
    """A node whose block store was wiped gets its copies back by verify --repair."""
    with Cluster() as cluster:
        for number in range(10):
            with open(f"{cluster.mount}/f{number}", "wb") as file:
                file.write(os.urandom(300_000))
                file.flush()
                os.fsync(file.fileno())
        cluster.wait_until_whole()
        cluster.kill(3)
        run("rm", "-rf", f"{cluster.data}/node3/blocks")
        cluster.up()
        report = cluster.verify(code=4)
        check(len(report["findings"]) == 10, f"{len(report['findings'])} findings, expected 10")
        check(all(finding["problem"] == "missing" for finding in report["findings"]), f"{report['findings'][:2]}")
        cluster.verify("--repair", code=1)
        cluster.verify("--deep")


def damage_log(cluster, number):
    """Flips one bit of a byte in the middle of what the metadata log of a node holds."""
    directory = f"{cluster.data}/node{number}/raft"
    path = os.path.join(directory, sorted(os.listdir(directory))[0])
    with open(path, "r+b") as file:
        body = file.read().rstrip(b"\0")
        place = next(offset for offset in range(len(body) // 2, len(body)) if body[offset])
        file.seek(place)
        file.write(bytes([body[place] ^ 1]))
        file.flush()
        os.fsync(file.fileno())


def remove_metadata(cluster, number):
    run("rm", "-rf", f"{cluster.data}/node{number}/raft", f"{cluster.data}/node{number}/meta")


def lose_metadata(lose):
    """A follower whose metadata log is lost comes back as a voter; what it was needed for meanwhile, it was not asked for."""
    with Cluster() as cluster:
        content = {}

        def write(name):
            path = f"{cluster.mount}/{name}"
            content[path] = os.urandom(200_000)
            with open(path, "wb") as file:
                file.write(content[path])
                file.flush()
                os.fsync(file.fileno())

        for number in range(30):
            write(f"before{number}")
        victim = next(number for number in (3, 2, 1) if number != cluster.leader())
        cluster.kill(victim)
        lose(cluster, victim)
        write("without")
        cluster.up()
        write("with")

        def all_vote():
            nodes = cluster.status()["nodes"]
            return all(node.get("role") in ("leader", "follower") and len(node["voters"]) == 3 for node in nodes)

        wait_until(all_vote, "all three nodes to be voters")
        cluster.wait_until_whole()
        # It is worth a vote: the others are two, and one of them is gone.
        leader = cluster.leader()
        gone = leader if leader != victim else victim % 3 + 1
        cluster.kill(gone)
        write("after")
        cluster.up()
        cluster.wait_until_whole()
        drop_caches()
        for path, expected in content.items():
            check(open(path, "rb").read() == expected, f"{path} differs")
        cluster.verify("--deep")
        return os.path.exists(f"{cluster.data}/node{victim}/raft.damaged")


def test_damaged_metadata_log():
    check(lose_metadata(damage_log), "the damaged log was not kept: it was not found to be damaged")


def test_removed_metadata():
    check(not lose_metadata(remove_metadata), "a log was kept, but there was none")


def test_frozen_daemons_do_not_stop_the_others():
    """A daemon that is frozen, the leader included, delays but fails nothing; thawed, it is up to date again."""
    with Cluster() as cluster:
        content = {}
        for round_number in range(2):
            leader = cluster.leader()
            for victim in (leader, leader % 3 + 1):
                process = cluster.pid(victim)
                os.kill(process, signal.SIGSTOP)
                try:
                    path = f"{cluster.mount}/r{round_number}-{victim}"
                    content[path] = os.urandom(2 * MEBIBYTE + 5)
                    with open(path, "wb") as file:
                        file.write(content[path])
                        file.flush()
                        os.fsync(file.fileno())
                    for name, expected in content.items():
                        check(open(name, "rb").read() == expected, f"{name} differs while node {victim} is frozen")
                finally:
                    os.kill(process, signal.SIGCONT)
                cluster.wait_until_whole()
        drop_caches()
        for name, expected in content.items():
            check(open(name, "rb").read() == expected, f"{name} differs at the end")
        cluster.verify("--deep")
