"""Two mounts through different daemons are one tree: what one does, the next call on the other sees."""

import mmap
import os
import random
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from cluster import Cluster, check, wait_until


def test_changes_are_seen_at_once():
    with Cluster() as cluster:
        one, other = cluster.second_mount(1), cluster.second_mount(2)
        for number in range(30):
            path = f"file{number}"
            with open(f"{one}/{path}", "w") as file:
                file.write("first")
            check(open(f"{other}/{path}").read() == "first", "a new file is not seen whole")
            with open(f"{other}/{path}", "a") as file:
                file.write(" second")
            check(open(f"{one}/{path}").read() == "first second", "an append is not seen")
            check(os.stat(f"{one}/{path}").st_size == 12, "a new size is not seen")
            os.chmod(f"{one}/{path}", 0o640)
            check(os.stat(f"{other}/{path}").st_mode & 0o777 == 0o640, "chmod is not seen")
            os.rename(f"{other}/{path}", f"{other}/{path}.moved")
            check(not os.path.exists(f"{one}/{path}"), "the old name is still seen")
            check(open(f"{one}/{path}.moved").read() == "first second", "the new name is not seen")
            check(f"{path}.moved" in os.listdir(one), "the new name is not listed")
            os.unlink(f"{one}/{path}.moved")
            check(not os.path.exists(f"{other}/{path}.moved"), "a removed file is still seen")
        check(os.listdir(one) == [] and os.listdir(other) == [], "leftovers")


def test_stat_shows_the_time_of_birth():
    """The kernel asks in another way if the time of birth is wanted; all else must be the same both ways, and on both mounts."""
    with Cluster() as cluster:
        one, other = cluster.second_mount(1), cluster.second_mount(2)
        before = time.time()
        with open(f"{one}/file", "wb") as file:
            file.write(b"x" * 70_000)
        os.mkdir(f"{one}/directory")
        os.symlink("target", f"{one}/symlink")
        os.mknod(f"{one}/device", 0o640 | stat.S_IFCHR, os.makedev(0xABC, 0x12345))
        os.link(f"{one}/file", f"{one}/link")
        os.chown(f"{one}/file", 70_001, 70_002)
        os.chmod(f"{one}/file", 0o4751)
        os.utime(f"{one}/file", ns=(-1_500_000_001, 1_000_000_000_123_456_789))
        with open(f"{one}/file", "rb") as file:
            os.fsync(file.fileno())
        after = time.time()
        births = {}
        for name in ("file", "directory", "symlink", "device", "link"):
            for mount in (other, one):
                # Before: the kernel keeps what it is told.
                found = os.lstat(f"{mount}/{name}")
                shown = run_stat(f"{mount}/{name}")
                birth = float(shown.pop())
                check(before - 1 < birth < after + 1, f"{name} was made at {birth}, not between {before} and {after}")
                check(births.setdefault(name, birth) == birth, f"{name} has two times of birth")
                expected = [found.st_ino, found.st_nlink, found.st_uid, found.st_gid, found.st_mode, found.st_size, found.st_blocks, found.st_blksize]
                expected += [os.major(found.st_rdev), os.minor(found.st_rdev), found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns]
                numbers = [int(field, base) for field, base in zip(shown, [10] * 4 + [16] + [10] * 3 + [16] * 2)]
                numbers += [int(field.replace(".", "")) for field in shown[10:]]
                check(numbers == expected, f"{name}: {numbers} instead of {expected}")
                check(os.lstat(f"{mount}/{name}") == found, f"{name} looks different afterwards")
        check(births["link"] == births["file"], "a link is another file")
        with open(f"{other}/file", "ab") as file:
            file.write(b"more")
        os.rename(f"{other}/file", f"{other}/moved")
        check(float(run_stat(f"{one}/moved").pop()) == births["file"], "a change is a birth")
        check(float(run_stat(one).pop()) == 0, "the root was made before there were clocks")


def run_stat(path):
    fields = "%i %h %u %g %f %s %b %o %t %T %.9X %.9Y %.9Z %.9W"
    return subprocess.run(["stat", f"--printf={fields}", path], check=True, capture_output=True, text=True).stdout.split()


def test_alternating_operations_have_predicted_results():
    """A model of a few files and directories predicts every result of operations from both sides."""
    generator = random.Random(20_26)
    with Cluster() as cluster:
        sides = [cluster.second_mount(1), cluster.second_mount(3)]
        model = {}
        names = [f"n{number}" for number in range(5)]
        for step in range(3000):
            side, name = generator.choice(sides), generator.choice(names)
            path = f"{side}/{name}"
            action = generator.randrange(7)
            if action == 0:
                content = bytes([generator.randrange(256)]) * generator.randrange(1, 20_000)
                with open(path, "wb") as file:
                    file.write(content)
                model[name] = content
            elif action == 1 and name in model:
                with open(path, "ab") as file:
                    file.write(b"tail")
                model[name] += b"tail"
            elif action == 2 and name in model:
                os.unlink(path)
                del model[name]
            elif action == 3 and name in model:
                target = generator.choice(names)
                os.rename(path, f"{side}/{target}")
                model[target] = model.pop(name)
            elif action == 4 and name in model:
                size = generator.randrange(30_000)
                os.truncate(path, size)
                model[name] = model[name][:size].ljust(size, b"\0")
            elif action == 5:
                check(sorted(os.listdir(side)) == sorted(model), f"step {step}: listing differs")
            else:
                check(os.path.exists(path) == (name in model), f"step {step}: {name} exists on one side only")
                if name in model:
                    check(os.stat(path).st_size == len(model[name]), f"step {step}: size of {name}")
                    check(open(path, "rb").read() == model[name], f"step {step}: content of {name}")


def test_appends_from_two_mounts_all_arrive():
    with Cluster() as cluster:
        sides = [cluster.second_mount(1), cluster.second_mount(2)]
        files = [os.open(f"{side}/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT) for side in sides]
        for number in range(200):
            os.write(files[number % 2], f"line {number}\n".encode())
        for file in files:
            os.close(file)
        lines = open(f"{sides[0]}/log").read().splitlines()
        check(lines == [f"line {number}" for number in range(200)], f"{len(lines)} lines of 200, or in another order")


APPENDER = """
import os, random, sys
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
choose = random.Random(name)
for number in range(count):
    # Opened anew for each line: then the kernel holds no page of the file.
    file = os.open(path, os.O_WRONLY | os.O_APPEND)
    line = f"{name} {number} ".encode() + b"x" * choose.randint(1, 3000) + b"\\n"
    assert os.write(file, line) == len(line)
    os.close(file)
"""


def test_lines_that_two_mounts_append_at_once_do_not_mix():
    """Each write(2) is one piece, also where it crosses the border of a page."""
    with Cluster() as cluster:
        sides = [cluster.second_mount(1), cluster.second_mount(2)]
        open(f"{sides[0]}/log", "w").close()
        count = 600
        writers = [
            subprocess.Popen([sys.executable, "-c", APPENDER, f"{side}/log", name, str(count)]) for side, name in zip(sides, ("one", "two"))
        ]
        for writer in writers:
            check(writer.wait() == 0, "a writer failed")
        for side in sides:
            seen = {"one": [], "two": []}
            for line in open(f"{side}/log"):
                words = line.split()
                whole = len(words) == 3 and words[0] in seen and set(words[2]) == {"x"}
                check(whole, f"a line of two writers: {line[:80]!r}… of {len(line)} bytes")
                seen[words[0]].append(int(words[1]))
            check(seen == {"one": list(range(count)), "two": list(range(count))}, "lines are lost, doubled or in another order")


def test_first_looks_race_with_changes():
    """What one side is told of a file while the other changes it must not be what it keeps: the kernel may take an answer in after the recall."""
    looks = {"stat": os.stat, "chmod": lambda path: os.chmod(path, 0o600), "link": lambda path: os.link(path, path + "-link")}
    delays = random.Random(1)

    def write(path, delay):
        time.sleep(delay)
        with open(path, "r+b", buffering=0) as file:
            file.write(b"1")

    with Cluster() as cluster:
        here, there = cluster.second_mount(1), cluster.second_mount(2)
        with ThreadPoolExecutor(2) as pool:
            for kind, look in looks.items():
                for number in range(700):
                    path = f"{kind}{number}"
                    open(f"{here}/{path}", "w").close()
                    if kind != "stat":
                        os.stat(f"{there}/{path}")
                    writing = pool.submit(write, f"{here}/{path}", delays.random() * 0.001)
                    looking = pool.submit(look, f"{there}/{path}")
                    writing.result(), looking.result()
                    check(os.stat(f"{there}/{path}").st_size == 1, f"{path}: a write was not seen after {kind}")


def test_mappings_show_what_others_write():
    """Not a read, not a stat in between: a page that is mapped must go when another machine writes; once read-ahead of this one is over."""
    with Cluster() as cluster:
        here, there = cluster.second_mount(1), cluster.second_mount(2)
        with open(f"{here}/file", "w+b") as file:
            file.write(bytes(3 << 20))
            file.flush()
            for access in (mmap.ACCESS_READ, mmap.ACCESS_WRITE, mmap.ACCESS_COPY):
                with mmap.mmap(file.fileno(), 3 << 20, access=access) as mapping:
                    mapping[:]
                    with open(f"{there}/file", "r+b", buffering=0) as other:
                        for number in range(60):
                            place = number * 51_983
                            other.seek(place)
                            other.write(b"%03d" % number)
                            wait_until(lambda: mapping[place : place + 3] == b"%03d" % number, f"write {number} of another mount in a mapping ({access})")


def test_open_on_one_unlinked_on_the_other():
    with Cluster() as cluster:
        one, other = cluster.second_mount(1), cluster.second_mount(2)
        with open(f"{one}/file", "wb") as file:
            file.write(b"x" * 100_000)
        reader = os.open(f"{one}/file", os.O_RDONLY)
        os.unlink(f"{other}/file")
        check(not os.path.exists(f"{one}/file"), "the name is still there")
        check(os.pread(reader, 200_000, 0) == b"x" * 100_000, "an open file lost its content when it was unlinked elsewhere")
        os.close(reader)
