"""Ordinary tools on a mount of three daemons."""

import hashlib
import os
import sqlite3
import subprocess
import sysconfig

from cluster import Cluster, check, check_same_tree, drop_caches, resident_bytes, run, shell, wait_until

MEBIBYTE = 1 << 20


def source_tree():
    """A tree of at least 5,000 files that every machine has."""
    for path in ["/usr/include", sysconfig.get_paths()["stdlib"], "/usr/share"]:
        if os.path.isdir(path) and int(shell(f"find {path} -type f | wc -l")) >= 5000:
            return path
    raise AssertionError("no tree of 5,000 files on this machine")


def test_tree_copy_tar_rsync_git():
    source = source_tree()
    with Cluster() as cluster:
        mount = cluster.mount
        run("cp", "-a", source, f"{mount}/copy")
        check(check_same_tree(source, f"{mount}/copy") >= 5000, "too few files to prove anything")

        # The others take a part of it, for the sake of time.
        part = max((entry.path for entry in os.scandir(source) if entry.is_dir()), key=lambda path: sum(len(names) for _, _, names in os.walk(path)))
        archive = f"{cluster.directory}/tree.tar"
        run("tar", "--format=posix", "-cf", archive, "-C", part, ".")
        os.makedirs(f"{mount}/untar")
        run("tar", "xf", archive, "-C", f"{mount}/untar")
        check(check_same_tree(part, f"{mount}/untar") >= 500, "too few files to prove anything")

        run("rsync", "-a", f"{part}/", f"{mount}/synced/")
        second = run("rsync", "-a", "--stats", f"{part}/", f"{mount}/synced/")
        check("Number of regular files transferred: 0" in second, f"the second rsync transferred files:\n{second}")

        repository = f"{cluster.directory}/repository"
        make_repository(repository)
        run("git", "clone", "-q", repository, f"{mount}/clone")
        run("git", "fsck", "--full", cwd=f"{mount}/clone")
        check(run("git", "status", "--porcelain", cwd=f"{mount}/clone") == "", "git status is not clean")
        run("git", "gc", "-q", cwd=f"{mount}/clone")
        check(run("git", "log", "--oneline", cwd=f"{mount}/clone").count("\n") == 20, "commits are missing")

        cluster.down()
        cluster.up()
        check_same_tree(source, f"{mount}/copy")
        run("rm", "-rf", f"{mount}/copy", f"{mount}/untar", f"{mount}/synced")
        check(sorted(os.listdir(mount)) == ["clone"], f"left after rm -rf: {os.listdir(mount)}")
        cluster.verify("--deep")


def make_repository(path):
    run("git", "init", "-q", path)
    for number in range(20):
        os.makedirs(f"{path}/d{number}", exist_ok=True)
        for file in range(10):
            with open(f"{path}/d{number}/f{file}", "w") as target:
                target.write(f"{number} {file}\n" * (50 * file + 1))
        run("git", "add", ".", cwd=path)
        run("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "-m", f"commit {number}", cwd=path)


def test_sqlite():
    with Cluster() as cluster:
        path = f"{cluster.mount}/data.db"
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("create table t (id integer primary key, value text)")
        for number in range(500):
            database.execute("begin")
            database.execute("insert into t values (?, ?)", (number, "x" * (number % 300)))
            if number % 3 == 0:
                database.execute("update t set value = value || 'y' where id < ?", (number // 2,))
            database.execute("commit")
        database.close()
        drop_caches()
        database = sqlite3.connect(path)
        check(database.execute("pragma integrity_check").fetchone() == ("ok",), "integrity check failed")
        check(database.execute("select count(*) from t").fetchone() == (500,), "rows are missing")
        database.close()


def digest_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(MEBIBYTE):
            digest.update(chunk)
    return digest.hexdigest()


def test_two_gibibytes_and_a_clone():
    with Cluster() as cluster:
        path = f"{cluster.mount}/big"
        digest = hashlib.sha256()
        with open(path, "wb") as file:
            for _ in range(2048):
                chunk = os.urandom(MEBIBYTE)
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        drop_caches()
        check(digest_of(path) == digest.hexdigest(), "the file reads differently after dropping caches")
        limit = (256 + 100) * MEBIBYTE
        used = resident_bytes(cluster.mount_pid())
        check(used < limit, f"the mount process takes {used >> 20} MiB, more than {limit >> 20}")

        run("truncate", "-s", 1 << 30, path)
        os.sync()
        before = stored(cluster)
        run("cp", path, f"{cluster.mount}/clone")
        os.sync()
        check(stored(cluster) == before, "cp inside the mount stored blocks")
        check(os.path.getsize(f"{cluster.mount}/clone") == 1 << 30, "the clone has another size")
        run("cmp", path, f"{cluster.mount}/clone")
        with open(f"{cluster.mount}/clone", "r+b") as file:
            file.write(b"changed")
        run("cmp", "-n", 7, path, f"{cluster.mount}/clone", ok=False)


def stored(cluster):
    """Blocks on all nodes."""
    return sum(node["blocks"] for node in cluster.status()["nodes"])


def test_sparse_file_keeps_its_holes():
    with Cluster() as cluster:
        path = f"{cluster.mount}/sparse"
        with open(path, "wb") as file:
            file.truncate(100 * MEBIBYTE)
            for offset in (10 * MEBIBYTE, 50 * MEBIBYTE + 123, 99 * MEBIBYTE):
                file.seek(offset)
                file.write(b"data" * 1024)
            file.flush()
            os.fsync(file.fileno())
        check(os.stat(path).st_size == 100 * MEBIBYTE, "wrong size")
        check(os.stat(path).st_blocks * 512 < MEBIBYTE, f"takes {os.stat(path).st_blocks * 512} bytes")
        drop_caches()
        descriptor = os.open(path, os.O_RDONLY)
        data = os.lseek(descriptor, 0, os.SEEK_DATA)
        check(data == 10 * MEBIBYTE, f"first data at {data}")
        check(os.lseek(descriptor, data, os.SEEK_HOLE) < 11 * MEBIBYTE, "no hole after the first data")
        check(os.pread(descriptor, 8, 50 * MEBIBYTE + 120) == b"\0\0\0datad", "wrong bytes at the border of a hole")
        os.close(descriptor)
        run("cp", "--sparse=always", path, f"{cluster.mount}/again")
        run("cmp", path, f"{cluster.mount}/again")


def test_one_node():
    with Cluster(nodes=1, replicas=1) as cluster:
        with open(f"{cluster.mount}/file", "wb") as file:
            file.write(os.urandom(5 * MEBIBYTE))
        before = digest_of(f"{cluster.mount}/file")
        cluster.down()
        cluster.up()
        check(digest_of(f"{cluster.mount}/file") == before, "the file changed across a restart")
        cluster.verify("--deep")


def test_files_without_a_mount():
    with Cluster() as cluster:
        local = f"{cluster.directory}/local"
        with open(local, "wb") as file:
            file.write(os.urandom(3 * MEBIBYTE + 17))
        os.makedirs(f"{cluster.mount}/d")
        cluster.dhtfs("put", "--data", cluster.data, local, "/d/stored")
        run("cmp", local, f"{cluster.mount}/d/stored")
        cluster.dhtfs("get", "--data", cluster.data, "/d/stored", f"{local}.back")
        run("cmp", local, f"{local}.back")
        shell(f"{cluster.program} cat --data {cluster.data} /d/stored | cmp - {local}")
        check("3145745" in cluster.dhtfs("stat", "--data", cluster.data, "/d/stored"), "stat shows no size")
        located = cluster.dhtfs("locate", "--data", cluster.data, "/d/stored", "--json")
        check(located.count('"key"') == 4, f"locate shows other than 4 blocks: {located}")
        code, _, errors = cluster.dhtfs("get", "--data", cluster.data, "/d/none", f"{local}.none", ok=None)
        check(code == 1 and "No such file" in errors, f"get of a missing file: {code} {errors}")
        check(not os.path.exists(f"{local}.none"), "get of a missing file left a file behind")


def test_idle_memory():
    # AddressSanitizer takes memory of its own.
    if "ASAN_OPTIONS" in os.environ:
        return
    with Cluster() as cluster:
        for number in range(1, 4):
            used = resident_bytes(cluster.pid(number))
            check(used < 60 * MEBIBYTE, f"daemon {number} takes {used >> 20} MiB when idle")


def test_unlinked_but_open():
    with Cluster() as cluster:
        path = f"{cluster.mount}/gone"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        os.write(descriptor, b"before")
        os.unlink(path)
        os.write(descriptor, b" and after")
        os.fsync(descriptor)
        check(os.pread(descriptor, 100, 0) == b"before and after", "an open file that was unlinked lost its content")
        check(os.fstat(descriptor).st_nlink == 0, "link count of an unlinked file")
        os.close(descriptor)
        wait_until(lambda: not os.listdir(cluster.mount), "an empty directory")


def test_mmap_and_concurrent_writers():
    with Cluster() as cluster:
        workers = [
            subprocess.Popen(["dd", "if=/dev/urandom", f"of={cluster.mount}/w{number}", "bs=64k", "count=400", "status=none", "conv=fsync"])
            for number in range(4)
        ]
        check(all(worker.wait() == 0 for worker in workers), "a writer failed")
        before = [digest_of(f"{cluster.mount}/w{number}") for number in range(4)]
        drop_caches()
        check([digest_of(f"{cluster.mount}/w{number}") for number in range(4)] == before, "content changed")
        script = (
            "import mmap,os,sys\n"
            "f=os.open(sys.argv[1],os.O_RDWR|os.O_CREAT);os.ftruncate(f,1<<20)\n"
            "m=mmap.mmap(f,1<<20);m[5000:5004]=b'mmap';m.flush();m.close();os.fsync(f)\n"
            "assert os.pread(f,4,5000)==b'mmap'"
        )
        run("python3", "-c", script, f"{cluster.mount}/mapped")
