"""Databases on a mount, and what they find after kill -9: PostgreSQL, and sqlite in all journal modes."""

import contextlib
import glob
import os
import signal
import sqlite3
import subprocess
import sys

from cluster import Cluster, alive, check, drop_caches, run, wait_until

def newest_postgres():
    """Where Debian has the programs of its newest PostgreSQL."""
    return max(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: float(path.split("/")[4]), default="")


POSTGRES = newest_postgres()


def processes_in(directory):
    """Processes that work in a directory."""
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and os.readlink(f"/proc/{name}/cwd") == directory and alive(int(name)):
                found.append(int(name))
    return found


class Postgres:
    """A PostgreSQL of this process's own, without the service of the package: data in one directory, its socket in another."""

    def __init__(self, data, sockets):
        self.data = data
        self.sockets = sockets
        self.log = f"{sockets}/postgres.log"
        self.process = None
        for path in (data, sockets):
            os.mkdir(path, 0o700)
            run("chown", "postgres:postgres", path)

    def tool(self, name, *words, **options):
        return run("runuser", "-u", "postgres", "--", f"{POSTGRES}/{name}", *words, cwd="/", **options)

    def initialize(self):
        self.tool("initdb", "--data-checksums", "--auth=trust", "--no-instructions", "--no-locale", "-D", self.data)

    def start(self):
        words = ["runuser", "-u", "postgres", "--", f"{POSTGRES}/postgres", "-D", self.data, "-k", self.sockets, "-c", "listen_addresses="]
        # Little memory, so that pages travel; many checkpoints, so that a crash meets one.
        words += ["-c", "shared_buffers=4MB", "-c", "max_wal_size=32MB", "-c", "checkpoint_completion_target=0.1"]
        self.process = subprocess.Popen(words, cwd="/", stderr=open(self.log, "ab"))

        def ready():
            check(self.process.poll() is None, f"PostgreSQL ended: {open(self.log).read()[-3000:]}")
            return self.tool("pg_isready", "-q", "-h", self.sockets, ok=None)[0] == 0

        wait_until(ready, "PostgreSQL to accept connections", 120)

    def postmaster(self):
        return int(open(f"{self.data}/postmaster.pid").readline())

    def kill(self):
        """Kills the postmaster. Its children notice, and must be gone before another may start."""
        os.kill(self.postmaster(), signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not processes_in(self.data), "the end of the children of the postmaster")

    def stop(self):
        os.kill(self.postmaster(), signal.SIGINT)
        check(self.process.wait(timeout=120) == 0, f"PostgreSQL did not end in order: {open(self.log).read()[-3000:]}")

    def clean_up(self):
        for process in processes_in(self.data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        wait_until(lambda: not processes_in(self.data), "the end of PostgreSQL")
        if self.process:
            self.process.wait()

    def ask(self, query):
        return self.tool("psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.sockets, "-c", query, "postgres").strip()

    def transactions(self):
        return int(self.ask("select count(*) from pgbench_history"))

    def bench(self, clients, seconds):
        words = [f"{POSTGRES}/pgbench", "-n", "-h", self.sockets, "-c", clients, "-j", 2, "-T", seconds, "postgres"]
        return subprocess.Popen(
            ["runuser", "-u", "postgres", "--", *map(str, words)], cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def check_balances(self):
        """What pgbench keeps in step: each transaction adds one amount in three tables and writes it down in a fourth."""
        tables = {"pgbench_accounts": "abalance", "pgbench_tellers": "tbalance", "pgbench_branches": "bbalance", "pgbench_history": "delta"}
        sums = {table: self.ask(f"select coalesce(sum({column}), 0) from {table}") for table, column in tables.items()}
        check(len(set(sums.values())) == 1, f"the sums differ: {sums}")
        # With every entry of every index looked for in its table.
        self.tool("pg_amcheck", "-h", self.sockets, "--heapallindexed", "--parent-check", "--install-missing", "postgres")


def postgres_survives_crashes(cluster, mount, transactions, crashes, scale=1):
    os.chmod(cluster.directory, 0o755)
    server = Postgres(f"{mount}/pg", f"{cluster.directory}/pg-sockets")
    try:
        server.initialize()
        server.start()
        server.tool("pgbench", "-i", "-q", "-s", scale, "-h", server.sockets, "postgres")
        for _ in range(crashes):
            before = server.transactions()
            bench = server.bench(4, 3600)
            wait_until(lambda: server.transactions() >= before + transactions or bench.poll() is not None, f"{transactions} transactions", 300)
            check(bench.poll() is None, f"pgbench ended: {bench.stderr.read() if bench.poll() is not None else ''}")
            committed = server.transactions()
            server.kill()
            bench.communicate()
            server.start()
            check(server.transactions() >= committed, f"{committed} transactions were committed, {server.transactions()} are left")
            server.check_balances()
        server.stop()
        drop_caches()
        server.tool("pg_checksums", "--check", "-D", server.data)
    finally:
        server.clean_up()


def test_postgresql():
    with Cluster() as cluster:
        postgres_survives_crashes(cluster, cluster.mount, transactions=300, crashes=1)
        cluster.verify()


# Moves one from account to account, and counts how often, until it is told to end or is killed.
SQLITE_WRITER = """
import random, sqlite3, sys
path, mode, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
database = sqlite3.connect(path, isolation_level=None, timeout=120)
# Pages of a long transaction spill into the file before it commits.
database.execute("pragma cache_size = 20")
assert database.execute(f"pragma journal_mode = {mode}").fetchone()[0] == mode
if len(sys.argv) > 4:
    database.execute(f"pragma locking_mode = {sys.argv[4]}")
for number in range(count):
    database.execute("begin immediate")
    for _ in range(random.randrange(1, 30)):
        one, other = random.sample(range(1000), 2)
        database.execute("update account set balance = balance - 1, note = ? where id = ?", ("x" * random.randrange(500), one))
        database.execute("update account set balance = balance + 1 where id = ?", (other,))
    database.execute("update done set count = count + 1")
    database.execute("commit")
    print(number + 1, flush=True)
database.close()
"""


def make_accounts(path):
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table account (id integer primary key, balance integer, note text)")
        database.execute("create index notes on account (note, balance)")
        database.execute("create table done (count integer)")
        database.execute("insert into done values (0)")
        database.executemany("insert into account values (?, 100, '')", [(number,) for number in range(1000)])
        database.commit()


def check_accounts(path, least=0, integrity=True):
    """Returns how many transactions are in the database."""
    with contextlib.closing(sqlite3.connect(path, timeout=120)) as database:
        # One transaction, so one state.
        database.execute("begin")
        total = database.execute("select sum(balance), count(*) from account").fetchone()
        count = database.execute("select count from done").fetchone()[0]
        check(total == (100_000, 1000), f"accounts do not add up: {total}")
        check(count >= least, f"{least} transactions were acknowledged, {count} are there")
        if integrity:
            result = database.execute("pragma integrity_check").fetchall()
            check(result == [("ok",)], f"integrity check: {result[:5]}")
        database.rollback()
        return count


def sqlite_writer(path, mode, count, *more):
    return subprocess.Popen([sys.executable, "-c", SQLITE_WRITER, path, mode, str(count), *more], stdout=subprocess.PIPE, text=True)


def test_sqlite_journal_modes():
    """Each mode to the end; those that promise to survive it are killed in the middle as well."""
    with Cluster() as cluster:
        for mode in ("delete", "truncate", "persist", "memory", "wal", "off"):
            path = f"{cluster.mount}/{mode}.db"
            make_accounts(path)
            writer = sqlite_writer(path, mode, 10)
            check(writer.wait() == 0, f"the writer failed with journal mode {mode}")
            check(check_accounts(path) == 10, f"transactions are lost with journal mode {mode}")
            if mode in ("memory", "off"):
                continue
            acknowledged = 10
            for _ in range(2):
                writer = sqlite_writer(path, mode, 1_000_000)
                for _ in range(5):
                    check(writer.stdout.readline(), f"the writer ended with journal mode {mode}")
                writer.kill()
                # It has said more than was read.
                acknowledged += 5 + len(writer.stdout.readlines())
                writer.wait()
                acknowledged = check_accounts(path, acknowledged)
        drop_caches()
        for mode in ("delete", "truncate", "persist", "memory", "wal", "off"):
            check_accounts(f"{cluster.mount}/{mode}.db")


def test_sqlite_readers_beside_a_writer():
    """A write-ahead log with its index in shared memory: two processes that write, this one reads, on one mount."""
    with Cluster() as cluster:
        path = f"{cluster.mount}/shared.db"
        make_accounts(path)
        # Here, because two who change the mode at once refuse each other without waiting.
        with contextlib.closing(sqlite3.connect(path)) as database:
            check(database.execute("pragma journal_mode = wal").fetchone() == ("wal",), "no write-ahead log")
        writers = [sqlite_writer(path, "wal", 25) for _ in range(2)]
        last = 0
        while any(writer.poll() is None for writer in writers):
            count = check_accounts(path, last, integrity=False)
            last = count
        check(all(writer.wait() == 0 for writer in writers), "a writer failed")
        check(check_accounts(path) == 50, "transactions are lost")


def test_sqlite_on_two_mounts():
    """With a rollback journal both mounts may write: locks and content are those of one machine."""
    with Cluster() as cluster:
        sides = [cluster.second_mount(1), cluster.second_mount(2)]
        make_accounts(f"{sides[0]}/both.db")
        writers = [sqlite_writer(f"{side}/both.db", "delete", 40) for side in sides]
        for writer in writers:
            writer.communicate()
            check(writer.returncode == 0, "a writer failed")
        for side in sides:
            check(check_accounts(f"{side}/both.db") == 80, "transactions are lost")
