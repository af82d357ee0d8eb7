"""The workloads that are ordinary programs: fio, git, sqlite."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import time

from workload import Workload, lines, sync_directory, sync_file


class Fio(Workload):
    """fio writes with checksums from one mount; if it succeeded, the other mount must read the same."""

    name = "fio"
    pause = 1

    def step(self):
        path = f"{self.directory}/{self.recorder.name}-{self.number % 4}"
        words = [
            "fio", "--name=job", f"--filename=__", "--size=4m", "--rw=randwrite", "--bsrange=4k-32k", "--verify=crc32c", "--ioengine=psync",
            "--verify_state_save=0", "--fsync=32", "--end_fsync=1", f"--randseed={self.number}", "--verify_fatal=1", "--minimal",
        ]
        writing = [word.replace("__", path) for word in words]
        with self.recorder.operation("fio-write"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            self.command(*writing, "--do_verify=0", "--rate=4m")
        self.verify([word.replace("__", f"{self.other}/{self.name}/{os.path.basename(path)}") for word in words])

    def verify(self, words):
        with self.recorder.operation("fio-verify"):
            try:
                self.command(*words, "--verify_only=1")
            except subprocess.CalledProcessError as error:
                text = error.output + error.stderr
                if "verify" in text and ("bad" in text or "failed" in text) and "Input/output" not in text and "not connected" not in text:
                    self.recorder.wrong("wrong-bytes", "fio: " + " ".join(text.split())[:400])
                raise

    @classmethod
    def check(cls, records, mount, report):
        return 0


class Git(Workload):
    """Clones a repository, commits to it, collects garbage. A commit is recorded when git says that it is done; git syncs all it writes."""

    name = "git"
    pause = 0.5
    environment = {
        "PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_COUNT": "3", "GIT_CONFIG_KEY_0": "core.fsync",
        "GIT_CONFIG_VALUE_0": "all", "GIT_CONFIG_KEY_1": "safe.directory", "GIT_CONFIG_VALUE_1": "*", "GIT_CONFIG_KEY_2": "gc.auto", "GIT_CONFIG_VALUE_2": "0",
    }

    def set_up(self):
        super().set_up()
        source = f"{self.recorder.directory}/git-source"
        if not os.path.exists(source):
            self.make_source(source)
        self.clone = f"{self.recorder.name}-{time.monotonic_ns()}"
        path = f"{self.directory}/{self.clone}"
        self.git("clone", "-q", "--no-local", source, path)
        # A clone syncs not everything that a commit rests on.
        for folder, _, names in os.walk(f"{path}/.git"):
            for name in names:
                sync_file(f"{folder}/{name}")
            sync_directory(folder)
        sync_directory(self.directory)
        self.recorder.keep(f"A {self.clone} {self.head(path)}")

    def make_source(self, path):
        os.makedirs(f"{path}.part")
        self.git("init", "-q", f"{path}.part")
        for commit in range(6):
            for number in range(40):
                with open(f"{path}.part/f{number}", "w") as file:
                    file.write(f"{commit} {number}\n" * (10 * number + 1))
            self.git("-C", f"{path}.part", "add", "-A")
            self.git("-C", f"{path}.part", "commit", "-q", "-m", str(commit))
        os.rename(f"{path}.part", path)

    def git(self, *words):
        return self.command("git", *words, env=self.environment)

    def head(self, path):
        return self.git("-C", path, "rev-parse", "HEAD").strip()

    def step(self):
        path = f"{self.directory}/{self.clone}"
        with self.recorder.operation("git-commit"):
            for _ in range(3):
                with open(f"{path}/f{self.random.randrange(40)}", "w") as file:
                    file.write(f"{self.number} {self.random.random()}\n" * self.random.randint(1, 300))
            self.git("-C", path, "add", "-A")
            self.git("-C", path, "commit", "-q", "--allow-empty", "-m", str(self.number))
            head = self.head(path)
        self.recorder.keep(f"A {self.clone} {head}")
        if self.number % 15 == 0:
            with self.recorder.operation("git-gc"):
                self.git("-C", path, "gc", "-q")

    def after_error(self):
        with self.recorder.operation("git-clean"):
            for folder, _, names in os.walk(f"{self.directory}/{self.clone}/.git"):
                for name in names:
                    if name.endswith(".lock"):
                        os.unlink(f"{folder}/{name}")

    @classmethod
    def check(cls, records, mount, report):
        heads = {}
        for _, words in lines(records, "git"):
            heads.setdefault(words[1], []).append(words[2])
        for clone, commits in heads.items():
            path = f"{mount}/{cls.name}/{clone}"

            def git(*words):
                return subprocess.run(["git", "-C", path, *words], capture_output=True, text=True, env=cls.environment, timeout=300)

            result = git("fsck", "--full")
            if result.returncode != 0:
                report("other", f"git fsck of {clone}: {(result.stdout + result.stderr)[-500:]}")
            for commit in commits:
                if git("merge-base", "--is-ancestor", commit, "HEAD").returncode != 0:
                    report("lost", f"git: commit {commit} of {clone} is not in its history")
                    break
        return sum(map(len, heads.values()))


class Sqlite(Workload):
    """Transactions of a few rows; the rows of a transaction are recorded when COMMIT returned."""

    name = "sqlite"
    pause = 0.1

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.database = None

    def set_up(self):
        super().set_up()
        self.connect()
        sync_directory(self.directory)

    def connect(self):
        try:
            if self.database:
                self.database.close()
            self.database = sqlite3.connect(f"{self.directory}/{self.recorder.name}.db", timeout=5, isolation_level=None)
            self.database.execute("PRAGMA synchronous=FULL")
            self.database.execute("CREATE TABLE IF NOT EXISTS rows (id TEXT PRIMARY KEY, content BLOB)")
        except sqlite3.Error as error:
            if "malformed" in str(error) or "not a database" in str(error):
                self.recorder.wrong("wrong-bytes", f"sqlite: {error}")
            raise OSError(None, str(error)) from error

    def step(self):
        rows = [(f"{self.number}.{part}", self.random.randbytes(self.random.randint(1, 3000))) for part in range(self.random.randint(1, 4))]
        with self.recorder.operation("transaction"):
            try:
                self.database.execute("BEGIN IMMEDIATE")
                self.database.executemany("INSERT INTO rows VALUES (?, ?)", rows)
                if self.number % 10 == 0:
                    self.database.execute("DELETE FROM rows WHERE id LIKE 'x%'")
                self.database.execute("COMMIT")
            except sqlite3.Error as error:
                raise OSError(None, str(error)) from error
        for name, content in rows:
            self.recorder.keep(f"A {self.recorder.name} {name} {len(content)} {sum(content)}")

    def after_error(self):
        with self.recorder.operation("reopen"):
            self.connect()

    @classmethod
    def check(cls, records, mount, report):
        rows = {}
        for _, words in lines(records, "sqlite"):
            rows.setdefault(words[1], {})[words[2]] = (int(words[3]), int(words[4]))
        for name, expected in rows.items():
            # A copy, since reading must not change what is compared afterwards.
            folder = f"{records}/sqlite-copy"
            os.makedirs(folder, exist_ok=True)
            for ending in ("", "-journal"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(f"{mount}/{cls.name}/{name}.db{ending}", f"{folder}/{name}.db{ending}")
            try:
                database = sqlite3.connect(f"{folder}/{name}.db")
                result = database.execute("PRAGMA integrity_check").fetchall()
                if result != [("ok",)]:
                    report("wrong-bytes", f"sqlite {name}: {result[:3]}")
                found = {row: (len(content), sum(content)) for row, content in database.execute("SELECT id, content FROM rows")}
                database.close()
            except sqlite3.Error as error:
                report("wrong-bytes", f"sqlite {name}: {error}")
                continue
            for row, measure in expected.items():
                if row not in found:
                    report("lost", f"sqlite {name}: row {row} was committed and is not there")
                elif found[row] != measure:
                    report("wrong-bytes", f"sqlite {name}: row {row} has other content")
        return sum(map(len, rows.values()))
