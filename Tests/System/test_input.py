"""Wrong input: one line that says what is wrong and what to do, a non-zero exit, nothing half-started."""

import errno
import os
import re
import socket
import tempfile

from cluster import Cluster, check, free_port_range, run


def refuse(*words, code=None, contains="", env=None):
    result, output, errors = run(Cluster.program, *words, ok=None, timeout=120, env=env)
    check(result != 0 and (code is None or result == code), f"{words}: exit code {result}")
    check(errors.startswith("dhtfs: ") and errors.count("\n") == 1, f"{words}: not one line: {errors!r}")
    check(contains in errors, f"{words}: \"{contains}\" is not in {errors!r}")
    return errors


def test_usage():
    refuse(code=2)
    refuse("fly", code=2, contains="fly")
    refuse("status", "--bogus", code=2, contains="--bogus")
    refuse("init", "--replicas", "9", "--data", "/tmp/x", code=2, contains="1 to 8")
    refuse("init", "--data", code=2, contains="needs a value")
    refuse("mount", code=2, contains="MOUNTPOINT")
    for command in [[], ["init"], ["token", "create"], ["join"], ["daemon"], ["mount"], ["unmount"], ["up"], ["down"], ["status"], ["ring"], ["put"], ["get"], ["cat"],
                    ["stat"], ["locate"], ["verify"], ["version"], ["completion"]]:
        text = run(Cluster.program, *command, "--help")
        check("usage: dhtfs" in text, f"{command} --help says {text!r}")
    check("dhtfs" in run(Cluster.program, "version"), "version")
    completion = run(Cluster.program, "completion")
    run("bash", "-n", stdin=completion)
    check("locate" in completion and "--deep" in completion, "the completion knows too little")


def test_configuration():
    with tempfile.TemporaryDirectory(prefix="dhtfs-test-") as directory:
        data = f"{directory}/data"
        port = free_port_range(1)
        run(Cluster.program, "init", "--data", data, "--listen", f"127.0.0.1:{port}", "--replicas", "1")
        refuse("init", "--data", data, contains="already")
        refuse("daemon", "--data", data, "--config", f"{directory}/none", contains="none")
        with open(f"{directory}/bad.conf", "w") as file:
            file.write("# fine\nlog_level = info\ncolour = blue\n")
        refuse("daemon", "--data", data, "--config", f"{directory}/bad.conf", contains="line 3")
        refuse("daemon", "--data", data, "--set", "listen=nowhere", contains="HOST:PORT")
        refuse("daemon", "--data", data, env={**os.environ, "DHTFS_CACHE_MB": "lots"}, contains="DHTFS_CACHE_MB")
        refuse("status", "--data", f"{directory}/nothing", contains="no data directory")
        code, output, _ = run(Cluster.program, "status", "--data", data, ok=None)
        check(code == 1 and "NO LEADER" in output, f"status of a cluster that is down: {code} {output}")

        with socket.socket() as occupant:
            occupant.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            occupant.bind(("127.0.0.1", port))
            occupant.listen()
            refuse("daemon", "--data", data, contains=str(port))

        text = open(f"{data}/format").read()
        with open(f"{data}/format", "w") as file:
            file.write(re.sub(r"format \d+", "format 99", text))
        refuse("daemon", "--data", data, contains="newer")
        with open(f"{data}/format", "w") as file:
            file.write("garbage")
        refuse("daemon", "--data", data, contains="damaged")
        with open(f"{data}/format", "w") as file:
            file.write(text)
        os.chmod(f"{data}/tls/node.key", 0o644)
        refuse("daemon", "--data", data, contains="chmod 600")
        os.chmod(f"{data}/tls/node.key", 0o600)
        os.makedirs(f"{directory}/full/stuff")
        refuse("init", "--data", f"{directory}/full", contains="not empty")


def test_data_directory_of_another_node():
    """Blocks of one node under the identity of another are refused."""
    with Cluster(nodes=2, replicas=2) as cluster:
        with open(f"{cluster.mount}/file", "wb") as file:
            file.write(os.urandom(100_000))
            file.flush()
            os.fsync(file.fileno())
        cluster.wait_until_whole()
        cluster.down()
        one, two = f"{cluster.data}/node1", f"{cluster.data}/node2"
        run("rm", "-rf", f"{two}/blocks")
        run("cp", "-a", f"{one}/blocks", f"{two}/blocks")
        refuse("daemon", "--data", two, contains="node")
        run("rm", "-rf", f"{two}/blocks")


def test_mount_points():
    with Cluster(nodes=1, replicas=1, mount=False) as cluster:
        data = f"{cluster.data}/node1"
        refuse("mount", "--data", data, f"{cluster.directory}/none", contains="none")
        with open(f"{cluster.directory}/file", "w"):
            pass
        refuse("mount", "--data", data, f"{cluster.directory}/file", contains="directory")
        refuse("unmount", cluster.directory, contains="not mounted")
        refuse("daemon", "--data", data, contains="in use")
        os.makedirs(f"{cluster.directory}/mnt")
        run(cluster.program, "mount", "--data", data, f"{cluster.directory}/mnt")
        check(os.path.ismount(f"{cluster.directory}/mnt"), "mount returned before the mount was there")
        refuse("mount", "--data", data, f"{cluster.directory}/mnt", contains="mounted")
        with open(f"{cluster.directory}/mnt/f", "w") as file:
            file.write("x")
            refuse("unmount", f"{cluster.directory}/mnt", contains="in use")
        run(cluster.program, "unmount", f"{cluster.directory}/mnt")
        check(not os.path.ismount(f"{cluster.directory}/mnt"), "still mounted")
        cluster.down()
        refuse("mount", "--data", data, "--set", "deadline_s=2", f"{cluster.directory}/mnt")
        check(not os.path.ismount(f"{cluster.directory}/mnt"), "mounted without a daemon")
        refuse("cat", "--data", data, "--set", "deadline_s=2", "/f")
        refuse("verify", "--data", data, "--set", "deadline_s=2", code=8)


def expect(number, action, *words):
    try:
        action(*words)
    except OSError as error:
        check(error.errno == number, f"{words}: {errno.errorcode[error.errno]} instead of {errno.errorcode[number]}")
        return
    raise AssertionError(f"{words}: no error instead of {errno.errorcode[number]}")


def test_errno_at_the_limits():
    with Cluster() as cluster:
        mount = cluster.mount
        os.mkdir(f"{mount}/{'n' * 255}")
        expect(errno.ENAMETOOLONG, os.mkdir, f"{mount}/{'n' * 256}")
        with open(f"{mount}/file", "wb"):
            pass
        os.truncate(f"{mount}/file", 16 << 40)
        expect(errno.EFBIG, os.truncate, f"{mount}/file", (16 << 40) + 1)
        expect(errno.EEXIST, os.mkdir, f"{mount}/file")
        expect(errno.ENOTDIR, os.listdir, f"{mount}/file")
        expect(errno.ENOTDIR, os.stat, f"{mount}/file/x")
        expect(errno.ENOENT, os.stat, f"{mount}/none")
        expect(errno.EISDIR, os.unlink, f"{mount}/{'n' * 255}")
        os.mkdir(f"{mount}/d")
        os.mkdir(f"{mount}/d/e")
        expect(errno.ENOTEMPTY, os.rmdir, f"{mount}/d")
        expect(errno.EINVAL, os.rename, f"{mount}/d", f"{mount}/d/e/f")
        expect(errno.ENOTEMPTY, os.rename, f"{mount}/{'n' * 255}", f"{mount}/d")
        expect(errno.ENODATA, os.getxattr, f"{mount}/file", "user.none")
        expect(errno.EOPNOTSUPP, os.getxattr, f"{mount}/file", "security.selinux")
        expect(errno.EOPNOTSUPP, os.setxattr, f"{mount}/file", "security.selinux", b"label")
        os.setxattr(f"{mount}/file", "user.some", b"value")
        check(os.getxattr(f"{mount}/file", "user.some") == b"value", "xattr")
        check(os.listxattr(f"{mount}/file") == ["user.some"], "listxattr")
        expect(errno.EEXIST, os.setxattr, f"{mount}/file", "user.some", b"", os.XATTR_CREATE)
        os.symlink("t" * 4000, f"{mount}/link")
        check(os.readlink(f"{mount}/link") == "t" * 4000, "readlink")
        os.link(f"{mount}/file", f"{mount}/hard")
        check(os.stat(f"{mount}/hard").st_nlink == 2, "link count")
        os.mkfifo(f"{mount}/fifo")
        for name in os.listdir(mount):
            run("rm", "-rf", f"{mount}/{name}")
