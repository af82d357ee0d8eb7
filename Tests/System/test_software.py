"""Programs that were written for a local disk, on a mount: version control, copying, editing, building, mail, and programs that test filesystems."""

import mailbox
import os
import re
import subprocess
import sys

from cluster import Cluster, check, drop_caches, listing, resident_bytes, run, wait_until

GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "gc.auto=0", "-c", "core.fsync=all"]


def git(directory, *words, **options):
    return run(*GIT, *words, cwd=directory, **options)


def commit_files(directory, first, count):
    """Commits so many times, changing some files each time."""
    for number in range(first, first + count):
        for file in range(8):
            os.makedirs(f"{directory}/d{(number + file) % 7}", exist_ok=True)
            with open(f"{directory}/d{(number + file) % 7}/f{number % 5}-{file}", "a") as target:
                target.write(f"{number} {file}\n" * (20 * file + 1))
        git(directory, "add", "-A")
        git(directory, "commit", "-q", "-m", f"commit {number}")


def test_git():
    """Two mounts work in two worktrees of one repository at once; then everything is packed, pruned, checked and cloned."""
    with Cluster() as cluster:
        one, other = cluster.second_mount(1), cluster.second_mount(2)
        git(one, "init", "-q", "-b", "main", "origin")
        commit_files(f"{one}/origin", 0, 4)
        for name, side in (("left", one), ("right", other)):
            git(f"{one}/origin", "worktree", "add", "-q", "-b", name, f"../{name}")
            # Both sides of the link have the path of the mount from which the worktree is used.
            for path in (f"origin/.git/worktrees/{name}/gitdir", f"{name}/.git"):
                text = open(f"{one}/{path}").read()
                with open(f"{one}/{path}", "w") as file:
                    file.write(text.replace(one, side))
        script = "import sys; sys.path.insert(0, sys.argv[1]); import test_software; test_software.commit_files(sys.argv[2], int(sys.argv[3]), 3)"
        here = os.path.dirname(os.path.abspath(__file__))
        commits = [
            subprocess.Popen([sys.executable, "-c", script, here, f"{side}/{name}", str(first)])
            for side, name, first in ((one, "left", 100), (other, "right", 200))
        ]
        check(all(process.wait() == 0 for process in commits), "a commit failed")
        git(f"{other}/origin", "merge", "-q", "--no-edit", "-X", "ours", "left")
        git(f"{one}/origin", "merge", "-q", "--no-edit", "-X", "ours", "right")
        for side in (one, other):
            check(git(f"{side}/origin", "rev-list", "--count", "--no-merges", "HEAD") == "10\n", "commits are missing")
            check(git(f"{side}/origin", "status", "--porcelain") == "", "git status is not clean")

        origin = f"{other}/origin"
        git(origin, "gc", "-q", "--prune=now")
        check(git(f"{one}/origin", "fsck", "--full", "--strict") == "", "fsck complains")
        git(one, "clone", "-q", "--no-local", "origin", "copied")
        # Hard links to the packs of the origin.
        git(one, "clone", "-q", "--local", "origin", "linked")
        for name in ("copied", "linked"):
            git(f"{other}/{name}", "fsck", "--full")
            run("diff", "-r", "--exclude=.git", f"{one}/origin", f"{other}/{name}")
        git(f"{one}/origin", "worktree", "remove", "--force", "../left")
        check(not os.path.exists(f"{other}/left"), "the worktree is still there")


def make_tree(path):
    """Everything a tree may have on a mount: holes, links of both kinds, fifos, odd names, modes, times, attributes and access control lists."""
    os.makedirs(f"{path}/deep/er")
    for number in range(150):
        with open(f"{path}/deep/f{number}", "wb") as file:
            file.write(os.urandom(number * number * 7))
    os.symlink("../f1", f"{path}/deep/er/symlink")
    os.symlink("nowhere" * 30, f"{path}/dangling")
    os.link(f"{path}/deep/f99", f"{path}/deep/er/hardlink")
    os.link(f"{path}/deep/f99", f"{path}/hardlink")
    os.mkfifo(f"{path}/fifo", 0o620)
    with open(os.fsencode(path) + b"/odd \n\xff\xfe'\"", "w") as file:
        file.write("odd")
    with open(f"{path}/sparse", "wb") as file:
        file.truncate(30 << 20)
        file.seek(11 << 20)
        file.write(b"data" * 3000)
    for name in ("deep/f3", "deep/er", "hardlink"):
        os.setxattr(f"{path}/{name}", "user.comment", os.urandom(200))
        os.setxattr(f"{path}/{name}", "trusted.note", name.encode())
    # cap_net_raw+ep, as setcap(8) writes it.
    os.setxattr(f"{path}/deep/f4", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    run("setfacl", "-m", "u:1234:rw,g:2345:r", f"{path}/deep/f7")
    run("setfacl", "-m", "d:u:1234:rwx,d:o::---", f"{path}/deep/er")
    os.chown(f"{path}/deep/f5", 1234, 2345)
    os.chmod(f"{path}/deep/f5", 0o6751)
    os.chmod(f"{path}/deep", 0o3775)
    os.utime(f"{path}/deep/f6", ns=(1, 1_000_000_001))
    os.utime(f"{path}/dangling", ns=(5, -3_000_000_000), follow_symlinks=False)


def attributes(path):
    files = run("getfattr", "-R", "-d", "-h", "-m", "-", "-e", "hex", ".", cwd=path).split("\n\n")
    return sorted(sorted(file.splitlines()) for file in files)


def links(path):
    return sorted(run("find", ".", "-links", "+1", "-type", "f", "-printf", "%n %p\n", cwd=path).splitlines())


def check_same_tree_with_attributes(left, right):
    # diff(1) takes two fifos for different ones.
    run("diff", "-r", "--no-dereference", "--exclude=fifo", left, right)
    different = set(listing(left).splitlines()) ^ set(listing(right).splitlines())
    check(not different, f"names or attributes differ: {different}")
    check(attributes(left) == attributes(right), "extended attributes differ")
    check(links(left) == links(right), "hard links differ")


def test_rsync_and_tar():
    with Cluster() as cluster:
        source, mount = f"{cluster.directory}/source", cluster.mount
        make_tree(source)
        # Without -1 it compares times by the second.
        rsync = ["rsync", "-aHAXS", "--modify-window=-1"]
        run(*rsync, f"{source}/", f"{mount}/synced/")
        check_same_tree_with_attributes(source, f"{mount}/synced")
        again = [*rsync, "--itemize-changes", "--delete"]
        for flags in ([], ["--checksum"]):
            found = run(*again, *flags, f"{source}/", f"{mount}/synced/")
            check(found == "", f"the second rsync {flags} finds something to do:\n{found}")
        os.unlink(f"{source}/deep/f8")
        with open(f"{source}/deep/f50", "r+b") as file:
            file.seek(5000)
            file.write(b"changed")
        os.utime(f"{source}/deep/f50", ns=(3, 3))
        os.setxattr(f"{source}/deep/er", "user.comment", b"another")
        found = sorted(run(*again, "--inplace", "--no-whole-file", "--no-sparse", f"{source}/", f"{mount}/synced/").splitlines())
        changes = [line.split(" ", 1)[1].strip() for line in found]
        check(changes == ["deep/f8", "deep/er/", "deep/f50"] or sorted(changes) == ["deep/", "deep/er/", "deep/f50", "deep/f8"], f"rsync changed {found}")
        check_same_tree_with_attributes(source, f"{mount}/synced")

        # From the mount into an archive on the mount, and out again.
        tar = ["tar", "--acls", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--format=posix", "--sparse"]
        run(*tar, "-cf", f"{mount}/archive.tar", "-C", f"{mount}/synced", ".")
        os.mkdir(f"{mount}/untarred")
        run(*tar, "-xpf", f"{mount}/archive.tar", "-C", f"{mount}/untarred")
        drop_caches()
        check_same_tree_with_attributes(source, f"{mount}/untarred")
        run(*tar, "--compare", "-f", f"{mount}/archive.tar", "-C", f"{mount}/synced")
        check(os.stat(f"{mount}/untarred/sparse").st_blocks * 512 < 1 << 20, "the holes are filled")


def test_vim():
    with Cluster() as cluster:
        one, other = cluster.second_mount(1), cluster.second_mount(2)
        for copy in ("yes", "no", "auto"):
            path, seen = f"{one}/{copy}.txt", f"{other}/{copy}.txt"
            with open(path, "w") as file:
                file.write("first line\nsecond line\n")
            os.chmod(path, 0o641)
            os.chown(path, 1234, 2345)
            os.link(path, f"{one}/{copy}.link")
            for word in ("third", "fourth", "fifth"):
                settings = f"set backup writebackup swapfile fsync backupcopy={copy} backupskip= backupdir=. directory=."
                before = open(seen).read()
                run("vim.tiny", "-es", "-u", "NONE", "-i", "NONE", path, stdin=f"{settings}\n$append\n{word} line\n.\nwq\n")
                check(open(seen).read() == before + f"{word} line\n", f"the other mount sees {open(seen).read()!r}")
                check(open(f"{other}/{copy}.txt~").read() == before, "the backup is not what was there before")
                status = os.stat(seen)
                check((status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o641, 1234, 2345), f"attributes after saving: {status}")
            # `auto` copies where renaming would break a link.
            linked = os.path.samefile(path, f"{one}/{copy}.link")
            check(linked == (copy != "no"), f"with backupcopy={copy} the hard link is {'kept' if linked else 'broken'}")
        found = sorted(os.listdir(other))
        check(found == sorted(f"{copy}.{end}" for copy in ("yes", "no", "auto") for end in ("txt", "txt~", "link")), f"leftovers: {found}")


MAKEFILE = """
objects = $(patsubst %.c,%.o,$(wildcard *.c))
program: $(objects)
\t$(CC) -o $@ $^
%.o: %.c
\t$(CC) -O0 -MMD -c -o $@ $<
-include $(objects:.o=.d)
"""


def make_c_project(path, files):
    """A program of so many files, of which each pair shares a header."""
    os.makedirs(path)
    for number in range(files):
        if number % 2 == 0:
            with open(f"{path}/h{number // 2}.h", "w") as file:
                file.write(f"#define ADD{number // 2} {number}\nint f{number}(void);\nint f{number + 1}(void);\n")
        with open(f"{path}/f{number}.c", "w") as file:
            file.write(f'#include "h{number // 2}.h"\nint f{number}(void) {{ return ADD{number // 2}; }}\n')
    with open(f"{path}/main.c", "w") as file:
        file.write("#include <stdio.h>\n" + "".join(f'#include "h{number}.h"\n' for number in range(files // 2)))
        file.write('int main(void) { printf("%d\\n", ' + " + ".join(f"f{number}()" for number in range(files)) + "); return 0; }\n")
    with open(f"{path}/Makefile", "w") as file:
        file.write(MAKEFILE)


def rebuilt(output):
    return sorted(re.findall(r"-o (\S+)", output))


def test_make():
    with Cluster() as cluster:
        one, other = cluster.second_mount(1), cluster.second_mount(2)
        files = 60
        make_c_project(f"{one}/project", files)
        check(len(rebuilt(run("make", "-j4", cwd=f"{one}/project"))) == files + 2, "not everything was built")
        total = sum(number // 2 * 2 for number in range(files))
        check(run(f"{other}/project/program") == f"{total}\n", "the program computes something else")
        for side in (other, one):
            output = run("make", "-j4", cwd=f"{side}/project")
            check(rebuilt(output) == [], f"built again without a reason: {rebuilt(output)}")
        # A source changed on one mount, a header on the other: each is built where it was not changed.
        with open(f"{one}/project/f7.c", "a") as file:
            file.write("int more;\n")
        check(rebuilt(run("make", "-j4", cwd=f"{other}/project")) == ["f7.o", "program"], "a changed source")
        with open(f"{other}/project/h10.h", "w") as file:
            file.write("#define ADD10 1020\nint f20(void);\nint f21(void);\n")
        check(rebuilt(run("make", "-j4", cwd=f"{one}/project")) == ["f20.o", "f21.o", "main.o", "program"], "a changed header")
        check(run(f"{other}/project/program") == f"{total + 2000}\n", "the program is not the new one")


def test_swift_package():
    with Cluster() as cluster:
        path = f"{cluster.mount}/package"
        for name in ("Sources/Sums", "Sources/tool"):
            os.makedirs(f"{path}/{name}")
        texts = {
            "Package.swift": '// swift-tools-version: 6.0\nimport PackageDescription\nlet package = Package(name: "tool", targets: ['
            '.target(name: "Sums"), .executableTarget(name: "tool", dependencies: ["Sums"])])\n',
            "Sources/Sums/Sums.swift": "public func sum(_ numbers: [Int]) -> Int { numbers.reduce(0, +) }\n",
            "Sources/tool/main.swift": "import Sums\nprint(sum([1, 2, 3]))\n",
        }
        for name, text in texts.items():
            with open(f"{path}/{name}", "w") as file:
                file.write(text)
        swift = ["swift", "build", "-q", "--disable-sandbox", "--package-path", path]
        # Neither caches of other packages nor settings of whoever runs this, and lock files where they are removed.
        environment = dict(os.environ, HOME=cluster.directory, TMPDIR=cluster.directory)
        run(*swift, env=environment)
        check(run(f"{path}/.build/debug/tool") == "6\n", "the program computes something else")
        with open(f"{path}/Sources/Sums/Sums.swift", "w") as file:
            file.write("public func sum(_ numbers: [Int]) -> Int { numbers.reduce(1, *) * 7 }\n")
        run(*swift, env=environment)
        check(run(f"{path}/.build/debug/tool") == "42\n", "the change was not built")


# Delivers as mail programs do: a lock file beside the mailbox, and a lock of fcntl(2) on it.
DELIVER = """
import mailbox, os, sys, time
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
for number in range(count):
    box = mailbox.mbox(path, create=False)
    while True:
        try:
            box.lock()
            break
        except mailbox.ExternalClashError:
            time.sleep(0.005)
    # Whoever came before has changed the file after it was opened here, perhaps replaced it.
    if os.fstat(box._file.fileno()).st_ino == os.stat(path).st_ino:
        message = mailbox.mboxMessage(f"Subject: {name} {number}\\n\\n" + "body\\n" * (number * 50))
        box.add(message)
        box.flush()
    else:
        sys.exit("the mailbox was replaced under its lock")
    box.unlock()
    box.close()
"""


def subjects(path):
    """Who delivered what, in order of names; a mixed or torn message shows in its body."""
    found = {}
    box = mailbox.mbox(path, create=False)
    for message in box:
        name, number = message["Subject"].split()
        check(message.get_payload() == "body\n" * (int(number) * 50), f"message {name} {number} is not whole")
        found.setdefault(name, []).append(int(number))
    box.close()
    return found


def test_mail_delivered_on_two_mounts():
    with Cluster() as cluster:
        sides = [cluster.second_mount(1), cluster.second_mount(2)]
        open(f"{sides[0]}/mbox", "w").close()
        deliveries = [
            subprocess.Popen([sys.executable, "-c", DELIVER, f"{side}/mbox", f"{name}{number}", "15"])
            for side, name in zip(sides, ("one", "two"))
            for number in range(2)
        ]
        check(all(delivery.wait() == 0 for delivery in deliveries), "a delivery failed")
        expected = {name: list(range(15)) for name in ("one0", "one1", "two0", "two1")}
        for side in sides:
            check(subjects(f"{side}/mbox") == expected, f"messages are lost, doubled or in another order: {subjects(f'{side}/mbox')}")
            check(os.listdir(side) == ["mbox"], f"a lock is left: {os.listdir(side)}")


def test_procmail_and_dotlockfile():
    with Cluster() as cluster:
        sides = [cluster.second_mount(1), cluster.second_mount(2)]
        # procmail takes a lock file of its own and one of fcntl(2); the others lock a counter by a file that only link(2) makes.
        script = (
            "for i in $(seq 0 9); do printf 'From t Thu Jan  1 00:00:00 1970\\nSubject: %s %d\\n\\n' $2 $i >$1.message.$2;"
            " for j in $(seq 1 $((i * 50))); do echo body; done >>$1.message.$2; echo >>$1.message.$2;"
            " procmail -m DEFAULT=$1/mbox LOCKSLEEP=1 $1.rc <$1.message.$2;"
            " dotlockfile -l -r 1000 -p $1/counter.lock; echo $(($(cat $1/counter) + 1)) >$1/counter; dotlockfile -u $1/counter.lock; done"
        )
        with open(f"{sides[0]}/counter", "w") as file:
            file.write("0")
        for side in sides:
            with open(f"{side}.rc", "w") as file:
                file.write(":0:\n$DEFAULT\n")
        deliveries = [
            subprocess.Popen(["bash", "-euo", "pipefail", "-c", script, "deliver", side, name], stdin=subprocess.DEVNULL)
            for side, name in zip(sides, ("one", "two"))
        ]
        check(all(delivery.wait() == 0 for delivery in deliveries), "a delivery failed")
        expected = {name: list(range(10)) for name in ("one", "two")}
        for side in sides:
            check(subjects(f"{side}/mbox") == expected, f"messages are lost, doubled or in another order: {subjects(f'{side}/mbox')}")
            check(open(f"{side}/counter").read() == "20\n", f"the counter is {open(f'{side}/counter').read()}")
            check(sorted(os.listdir(side)) == ["counter", "mbox"], f"a lock is left: {os.listdir(side)}")


def test_tail_follows_another_mount():
    """`tail -F` of a log that another mount appends to, truncates and rotates."""
    with Cluster() as cluster:
        one, other = cluster.second_mount(1), cluster.second_mount(2)
        with open(f"{one}/log", "w") as file:
            file.write("begin\n")
        seen = f"{cluster.directory}/seen"
        tail = subprocess.Popen(["tail", "-n", "+1", "-s", "0.05", "-F", f"{other}/log"], stdout=open(seen, "w"), stderr=subprocess.DEVNULL)
        expected = ["begin"]

        def wait_for(*lines):
            expected.extend(lines)
            wait_until(lambda: open(seen).read().splitlines() == expected, f"{lines} in what tail shows: {open(seen).read()[-500:]}", 30)

        try:
            wait_for()
            with open(f"{one}/log", "a", buffering=1) as file:
                for number in range(20):
                    file.write(f"line {number}\n")
                    wait_for(f"line {number}")
                os.rename(f"{one}/log", f"{one}/log.1")
                file.write("after the rotation\n")
                wait_for("after the rotation")
            with open(f"{one}/log", "w") as file:
                file.write("a new file\n")
            wait_for("a new file")
        finally:
            tail.kill()
            tail.wait()


def test_dbench():
    with Cluster() as cluster:
        path = f"{cluster.mount}/dbench"
        os.mkdir(path)
        output = run("dbench", "-D", path, "-c", "/usr/share/dbench/client.txt", "-t", 5, 4)
        check("Throughput" in output and "failed" not in output, f"dbench:\n{output[-2000:]}")
        cluster.verify()


def test_bonnie():
    with Cluster() as cluster:
        path = f"{cluster.mount}/bonnie"
        os.mkdir(path)
        # Twice as much content as it believes the machine to have memory. Its part with small files makes 1024 at least, too many for here.
        run("bonnie++", "-q", "-f", "-d", path, "-u", "root", "-s", 32, "-r", 16, "-n", 0)
        check(os.listdir(path) == [], f"bonnie++ left {os.listdir(path)}")


# Those of stress-ng's class "filesystem" that work on files below a directory, with what keeps them short.
STRESSORS = [
    ["access", "chdir:64", "chmod", "chown", "dentry", "dir:64", "dirdeep", "dirmany", "dnotify", "fcntl", "file-ioctl", "filename", "flock", "fstat"],
    ["getdent", "inode-flags", "inotify", "lease", "locka", "lockf", "lockofd", "mknod", "open", "rename", "touch", "utime"],
    ["aio", "aiol", "fallocate:8M", "fpunch", "fsize", "hdd:16M", "iomix:8M", "readahead:16M", "revio:16M", "seek:8M", "sync-file:8M"],
]
SIZES = {"chdir": "dirs", "dir": "dirs", "seek": "size"}


def test_stress_ng():
    """All of a group at once, so that they are in each other's way."""
    with Cluster() as cluster:
        for group in STRESSORS:
            words = ["stress-ng", "--verify", "--timeout", "4", "--temp-path", cluster.mount, "--dirdeep-inodes", "100", "--dentries", "64"]
            for stressor in group:
                name, _, size = stressor.partition(":")
                words += [f"--{name}", "1"]
                if size:
                    words += [f"--{name}-{SIZES.get(name, 'bytes')}", size]
                if name == "fstat":
                    words += ["--fstat-dir", cluster.mount]
            code, output, errors = run(*words, ok=None, timeout=200)
            check(code == 0 and "fail:" not in output + errors, f"{' '.join(words)}: exit code {code}\n{(output + errors)[-4000:]}")
            check(os.listdir(cluster.mount) == [], f"stress-ng left {os.listdir(cluster.mount)}")
        cluster.verify()


FIO = """
[global]
directory={directory}
filename_format=$jobname
size=8m
randseed={seed}
verify=crc32c
verify_fatal=1
verify_backlog=200
iodepth=8
verify_state_save=0
fsync=128
rw=randwrite
"""


def fio(directory, seed, *flags):
    """Each way to write, side by side, through the kernel's pages and past them."""
    path = f"{directory}.fio"
    with open(path, "w") as file:
        file.write(FIO.format(directory=directory, seed=seed))
        for engine in ("psync", "pvsync2", "libaio", "io_uring", "posixaio", "mmap"):
            for direct in (0, 1):
                if engine == "mmap":
                    if direct == 0:
                        file.write("[mmap]\nioengine=mmap\nbs=4k\n")
                    continue
                file.write(f"[{engine}-{direct}]\nioengine={engine}\ndirect={direct}\nbsrange=512-64k\nblockalign=512\n")
    run("fio", path, "--output", f"{path}.output", *flags, cwd=os.path.dirname(directory))


def test_fio():
    with Cluster() as cluster:
        one, other = cluster.second_mount(1), cluster.second_mount(2)
        fio(one, 1)
        # Written anew, and first read on the other mount: nothing there comes from a cache.
        fio(one, 2, "--do_verify=0", "--verify_backlog=0")
        drop_caches()
        fio(other, 2, "--verify_only", "--verify_backlog=0")
        cluster.verify("--deep")


def test_memory_after_small_pieces():
    """Pieces of all sizes come and go on many threads; what is free of them must not stay with the process."""
    # AddressSanitizer keeps what was freed, that is how it finds its use.
    if "ASAN_OPTIONS" in os.environ:
        return
    with Cluster() as cluster:
        words = ["fio", "--name=pieces", f"--directory={cluster.mount}", "--rw=randrw", "--bsrange=512-128k", "--size=96m", "--numjobs=2"]
        run(*words, "--ioengine=libaio", "--iodepth=8", "--direct=1", "--io_size=400m", "--group_reporting", cwd=cluster.directory)
        limit = (256 + 100) << 20
        wait_until(lambda: resident_bytes(cluster.mount_pid()) < limit, f"a mount process of less than {limit >> 20} MiB", 45)
