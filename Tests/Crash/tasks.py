"""The workloads over files and names. Every acknowledgement is recorded outside, after the sync that makes it one."""

import contextlib
import errno
import os
import time
import zlib

from workload import Workload, digest, is_mounted, lines, read, sync_directory, write_new


class Files(Workload):
    """New files of all sizes. One is recorded after fsync(file) and fsync(directory) returned; a removal likewise. Recorded files are read back, from both mounts."""

    name = "files"
    pause = 0.03

    def set_up(self):
        super().set_up()
        self.home = f"{self.directory}/{self.recorder.name}"
        self.there = getattr(self, "there", {})
        for number in range(20):
            os.makedirs(f"{self.home}/{number}", exist_ok=True)
            sync_directory(self.home)
        sync_directory(self.directory)

    def step(self):
        choice = self.random.random()
        if choice < 0.6 or len(self.there) < 20:
            self.write()
        elif choice < 0.9:
            self.read_back()
        else:
            self.remove()

    def write(self):
        kind = self.random.random()
        size = self.random.randint(0, 4096) if kind < 0.7 else self.random.randint(4097, 32768) if kind < 0.95 else self.random.randint(65536, 300_000)
        content = self.random.randbytes(size)
        path = f"{self.recorder.name}/{self.number % 20}/f{self.number}"
        full = f"{self.directory}/{path}"
        with self.recorder.operation("write-sync"):
            write_new(full, content)
            sync_directory(os.path.dirname(full))
        self.recorder.keep(f"A {path} {digest(content)} {size}")
        self.there[path] = digest(content)

    def remove(self):
        path = self.random.choice(sorted(self.there))
        del self.there[path]
        self.recorder.keep(f"d {path}")
        with self.recorder.operation("remove-sync"):
            os.unlink(f"{self.directory}/{path}")
            sync_directory(os.path.dirname(f"{self.directory}/{path}"))
        self.recorder.keep(f"D {path}")

    def read_back(self):
        path = self.random.choice(sorted(self.there))
        mount = self.random.choice([self.mount, self.other])
        expected = self.there[path]
        with self.recorder.operation("read"):
            try:
                content = read(f"{mount}/{self.name}/{path}")
            except FileNotFoundError:
                # The mount may have gone meanwhile, and come back before it is looked at; then the second look tells.
                if not is_mounted(mount):
                    raise
                time.sleep(1)
                try:
                    content = read(f"{mount}/{self.name}/{path}")
                except FileNotFoundError:
                    if is_mounted(mount):
                        self.recorder.wrong("lost", f"{path} is not there on {mount}")
                    raise
        if digest(content) != expected:
            self.recorder.wrong("wrong-bytes", f"{path} on {mount}: {len(content)} bytes, not what was written")

    @classmethod
    def check(cls, records, mount, report):
        kept, removed = {}, set()
        for _, words in lines(records, "files"):
            if words[0] == "A":
                kept[words[1]] = words[2]
            else:
                kept.pop(words[1], None)
                if words[0] == "D":
                    removed.add(words[1])
        for path, expected in kept.items():
            try:
                if digest(read(f"{mount}/{cls.name}/{path}")) != expected:
                    report("wrong-bytes", f"{path} has other content than what was synced")
            except FileNotFoundError:
                report("lost", f"{path} was synced and is not there")
            except OSError as error:
                report("lost", f"{path}: {error}")
        for path in removed:
            if os.path.lexists(f"{mount}/{cls.name}/{path}"):
                report("other", f"{path} was removed and is there again")
        return len(kept) + len(removed)


class Append(Workload):
    """Lines appended with O_APPEND, to a file of its own and to one that all mounts share; recorded after fsync."""

    name = "append"
    pause = 0.1

    def step(self):
        shared = self.random.random() < 0.3
        path = "shared" if shared else self.recorder.name
        made = []
        with self.recorder.operation("append-shared" if shared else "append"):
            descriptor = os.open(f"{self.directory}/{path}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                for part in range(self.random.randint(1, 3)):
                    text = f"{self.recorder.name} {self.number}.{part} {'x' * self.random.randint(1, 150)}"
                    line = f"{text} {zlib.crc32(text.encode()):08x}\n".encode()
                    if os.write(descriptor, line) != len(line):
                        raise OSError(errno.EIO, "a short write")
                    made.append(f"{self.number}.{part}")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if self.number < 3:
                sync_directory(self.directory)
        for number in made:
            self.recorder.keep(f"A {path} {self.recorder.name} {number}")

    def after_error(self):
        # A line may have been cut off: the next one begins anew.
        for path in (self.recorder.name, "shared"):
            with self.recorder.operation("append"):
                descriptor = os.open(f"{self.directory}/{path}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
                try:
                    os.write(descriptor, b"\n")
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    @classmethod
    def check(cls, records, mount, report):
        acknowledged = {}
        for _, words in lines(records, "append"):
            acknowledged.setdefault(words[1], {}).setdefault(words[2], []).append(words[3])
        count = 0
        for path, writers in acknowledged.items():
            try:
                content = read(f"{mount}/{cls.name}/{path}")
            except OSError as error:
                report("lost", f"{cls.name}/{path}: {error}")
                continue
            # Evidence, if something is wrong: what was really in the file.
            with open(f"{records}/append-{path}.content", "wb") as copy:
                copy.write(content)
            seen = {}
            for line in content.split(b"\n"):
                words = line.split(b" ")
                if len(words) == 4 and f"{zlib.crc32(b' '.join(words[:3])):08x}".encode() == words[3]:
                    seen.setdefault(words[0].decode(), []).append(words[1].decode())
                elif b"\0" in line:
                    report("wrong-bytes", f"{cls.name}/{path} has zeros where lines should be")
            for writer, numbers in writers.items():
                count += len(numbers)
                found = seen.get(writer, [])
                for number in set(numbers) - set(found):
                    report("lost", f"{cls.name}/{path}: line {number} of {writer} was synced and is not there")
                if len(set(found)) != len(found):
                    report("duplicate", f"{cls.name}/{path}: lines of {writer} are there twice")
                order = [tuple(map(int, number.split("."))) for number in found]
                if order != sorted(order):
                    report("other", f"{cls.name}/{path}: lines of {writer} are out of order")
        return count


class Register(Workload):
    """A file replaced by write-temp-then-rename with growing numbers, read from the other mount: whole, and never older than what was acknowledged before."""

    name = "register"
    pause = 0.1

    def step(self):
        path = f"{self.directory}/{self.recorder.name}"
        with self.recorder.operation("replace"):
            write_new(f"{path}.new", self.content(self.number), os.O_TRUNC)
            os.rename(f"{path}.new", path)
            sync_directory(self.directory)
        self.recorder.keep(f"A {self.recorder.name} {self.number}")
        acknowledged = self.number
        mount = self.random.choice([self.mount, self.other])
        with self.recorder.operation("read"):
            content = read(f"{mount}/{self.name}/{self.recorder.name}")
        found = self.parse(content)
        if found is None:
            self.recorder.wrong("wrong-bytes", f"{self.name}/{self.recorder.name} on {mount} is half: {len(content)} bytes {content[:60]!r}")
        elif found < acknowledged:
            self.recorder.wrong("stale", f"{self.name}/{self.recorder.name} on {mount} is {found} after {acknowledged} was acknowledged")
        elif found > self.number:
            self.recorder.wrong("other", f"{self.name}/{self.recorder.name} on {mount} is {found}, which was never written")

    @staticmethod
    def content(number):
        # Below and above what fits into an inode.
        return f"{number} ".encode() * (200 if number % 2 else 3000) + b"end"

    @classmethod
    def parse(cls, content):
        with contextlib.suppress(ValueError, IndexError):
            number = int(content.split(b" ", 1)[0])
            if content == cls.content(number):
                return number
        return None

    @classmethod
    def check(cls, records, mount, report):
        last, count = {}, 0
        for _, words in lines(records, "register"):
            last[words[1]] = int(words[2])
            count += 1
        for name, number in last.items():
            try:
                content = read(f"{mount}/{cls.name}/{name}")
            except OSError as error:
                report("lost", f"{cls.name}/{name}: {error}")
                continue
            found = cls.parse(content)
            if found is None:
                report("wrong-bytes", f"{cls.name}/{name} is half: {len(content)} bytes")
            elif found < number:
                report("lost", f"{cls.name}/{name} is {found} after {number} was acknowledged")
        return count


class Moves(Workload):
    """Files renamed between two directories from all mounts: each is there once, and once only."""

    name = "moves"
    files = 40
    pause = 0.08

    def set_up(self):
        for place in ("a", "b"):
            os.makedirs(f"{self.directory}/{place}", exist_ok=True)
        sync_directory(self.directory)
        sync_directory(self.mount)
        if self.recorder.name == "moves1":
            self.made = getattr(self, "made", 0)
            while self.made < self.files:
                path = f"{self.directory}/a/{self.made}"
                if not any(os.path.exists(f"{self.directory}/{place}/{self.made}") for place in ("a", "b")):
                    write_new(path, str(self.made).encode())
                    sync_directory(f"{self.directory}/a")
                self.recorder.keep(f"A {self.made}")
                self.made += 1

    def step(self):
        number = self.random.randrange(self.files)
        source, target = self.random.sample(["a", "b"], 2)
        with contextlib.suppress(FileNotFoundError), self.recorder.operation("move"):
            os.rename(f"{self.directory}/{source}/{number}", f"{self.directory}/{target}/{number}")

    @classmethod
    def check(cls, records, mount, report):
        made = [words[1] for _, words in lines(records, "moves")]
        try:
            found = {place: os.listdir(f"{mount}/{cls.name}/{place}") for place in ("a", "b")}
        except OSError as error:
            if made:
                report("lost", f"{cls.name}: {error}")
            return len(made)
        for number in made:
            times = sum(number in names for names in found.values())
            if times != 1:
                report("lost" if times == 0 else "duplicate", f"{cls.name}: file {number} is there {times} times")
                continue
            place = next(place for place, names in found.items() if number in names)
            if read(f"{mount}/{cls.name}/{place}/{number}") != number.encode():
                report("wrong-bytes", f"{cls.name}: file {number} has other content")
        return len(made)


class Counter(Workload):
    """A number that all mounts count up under a lock made of link(2): no value is acknowledged twice."""

    name = "counter"
    pause = 0.15

    def set_up(self):
        super().set_up()
        self.own = f"{self.directory}/owner-{self.recorder.name}"
        self.lock = f"{self.directory}/lock"
        self.value = f"{self.directory}/value"
        if not os.path.exists(self.own):
            write_new(self.own, b"")

    def step(self):
        with self.recorder.operation("lock"):
            while True:
                try:
                    os.link(self.own, self.lock)
                    break
                except FileExistsError:
                    # Ours after all, if an earlier call failed and yet had its effect.
                    if os.stat(self.own).st_nlink == 2:
                        break
                    if self.recorder.is_stopping():
                        return
                    time.sleep(0.05)
        with self.recorder.operation("count"):
            try:
                number = int(read(self.value))
            except FileNotFoundError:
                number = 0
            write_new(f"{self.value}.{self.recorder.name}", str(number + 1).encode(), os.O_TRUNC)
            os.rename(f"{self.value}.{self.recorder.name}", self.value)
            sync_directory(self.directory)
        self.recorder.keep(f"A {number + 1}")
        self.give_back()

    def give_back(self):
        with self.recorder.operation("unlock"):
            if os.stat(self.own).st_nlink == 2:
                os.unlink(self.lock)

    def after_error(self):
        if self.ready:
            self.give_back()

    @classmethod
    def check(cls, records, mount, report):
        values = [int(words[1]) for _, words in lines(records, "counter")]
        if len(set(values)) != len(values):
            twice = sorted(value for value in set(values) if values.count(value) > 1)
            report("duplicate", f"{cls.name}: values {twice[:10]} were acknowledged twice")
        if values:
            try:
                last = int(read(f"{mount}/{cls.name}/value"))
                if last < max(values):
                    report("lost", f"{cls.name} is {last} after {max(values)} was acknowledged")
            except (OSError, ValueError) as error:
                report("lost", f"{cls.name}: {error}")
        return len(values)


class Probe(Workload):
    """A small synced write five times a second, to see when service is there."""

    name = "probe"
    pause = 0.2

    def step(self):
        with self.recorder.operation("probe"):
            write_new(f"{self.directory}/{self.recorder.name}", str(self.number).encode(), os.O_TRUNC)
