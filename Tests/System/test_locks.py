"""flock(2) and fcntl(2) locks between mounts of different daemons, and what becomes of them when somebody dies."""

import os
import signal
import subprocess
import sys
import threading
import time

from cluster import Cluster, check, run, wait_until

# Runs lines of Python that arrive on its standard input, and prints what each gave: the value, or the name of the error.
WORKER = r"""
import ctypes, errno, fcntl, os, signal, struct, sys
files = {}
# A shell that runs the tests in the background has SIGINT ignored, and Python then leaves it so.
signal.signal(signal.SIGINT, signal.default_int_handler)

def handle(number, frame):
    pass

def flock(name, how):
    fcntl.flock(files[name], how)

def record(command, name, kind, start=0, length=0):
    packed = fcntl.fcntl(files[name], command, struct.pack("hhqqi4x", kind, 0, start, length, 0))
    kind, _, start, length, process = struct.unpack("hhqqi4x", packed)
    return kind, start, length, process

def open_file(name, path, flags=os.O_RDWR | os.O_CREAT):
    files[name] = os.open(path, flags, 0o644)

def close_file(name):
    os.close(files.pop(name))

SETLK, SETLKW, GETLK = fcntl.F_SETLK, fcntl.F_SETLKW, fcntl.F_GETLK
OFD_GETLK, OFD_SETLK, OFD_SETLKW = 36, 37, 38
READ, WRITE, UNLOCK = fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK
SH, EX, UN, NB = fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN, fcntl.LOCK_NB
for line in sys.stdin:
    try:
        print(repr(eval(line)), flush=True)
    except OSError as error:
        # One number has two names.
        print("EDEADLK" if error.errno == errno.EDEADLK else errno.errorcode[error.errno], flush=True)
    except BaseException as error:
        print(type(error).__name__, error, flush=True)
"""


class Worker:
    """A process of its own, as locks belong to processes."""

    everybody = []

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-u", "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answers = []
        self.told = 0
        threading.Thread(target=self.read, daemon=True).start()
        Worker.everybody.append(self)

    def read(self):
        for line in self.process.stdout:
            self.answers.append(line.strip())
        self.answers.append("gone")

    def tell(self, line):
        self.told += 1
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    @property
    def is_waiting(self):
        return len(self.answers) < self.told

    def answer(self, limit=60):
        wait_until(lambda: not self.is_waiting, "an answer of a worker", limit)
        return self.answers[self.told - 1]

    def ask(self, line):
        self.tell(line)
        return self.answer()

    def expect(self, line, answer):
        found = self.ask(line)
        check(found == answer, f"{line}: {found}, expected {answer}")

    def kill(self):
        self.process.kill()
        self.process.wait()


class WorkersCluster(Cluster):
    """A cluster whose mounts are not used any more when they are taken down."""

    def __exit__(self, kind, *rest):
        for worker in Worker.everybody:
            worker.kill()
        Worker.everybody.clear()
        super().__exit__(kind, *rest)


def workers(cluster, count, name="file", mounts=2):
    """Workers on two mounts in turn, with the file open as "f"."""
    sides = [cluster.second_mount(number + 1) for number in range(mounts)]
    result = []
    for number in range(count):
        worker = Worker()
        worker.expect(f"open_file('f', {sides[number % mounts] + '/' + name!r})", "None")
        result.append(worker)
    return sides, result


def lock_waits(cluster):
    """Requests that wait at the leader."""
    return max((node.get("lock_waits", 0) for node in cluster.status()["nodes"]), default=0)


def locks(cluster):
    return max((node.get("locks", 0) for node in cluster.status()["nodes"]), default=0)


def wait_for_waiters(cluster, count):
    wait_until(lambda: lock_waits(cluster) == count, f"{count} requests that wait for locks")


def test_flock_between_mounts():
    with WorkersCluster() as cluster:
        _, (one, other, third) = workers(cluster, 3)
        one.expect("flock('f', SH | NB)", "None")
        other.expect("flock('f', SH | NB)", "None")
        other.expect("flock('f', EX | NB)", "EAGAIN")
        # flock(2): the conversion gave the shared lock up. So it is on a local disk.
        one.expect("flock('f', EX | NB)", "None")
        other.expect("flock('f', SH | NB)", "EAGAIN")
        third.expect("flock('f', SH | NB)", "EAGAIN")
        other.tell("flock('f', EX)")
        wait_for_waiters(cluster, 1)
        one.expect("flock('f', UN)", "None")
        check(other.answer() == "None", "the lock was not granted")
        one.expect("flock('f', EX | NB)", "EAGAIN")
        # Down to a shared one lets others in.
        third.tell("flock('f', SH)")
        wait_for_waiters(cluster, 1)
        other.expect("flock('f', SH)", "None")
        check(third.answer() == "None", "the shared lock was not granted")
        # A copy of the descriptor is the same open file; the last one that is closed frees the lock.
        one.tell("flock('f', EX)")
        wait_for_waiters(cluster, 1)
        third.expect("flock('f', UN)", "None")
        other.expect("files.__setitem__('copy', os.dup(files['f']))", "None")
        other.expect("close_file('f')", "None")
        third.expect("flock('f', EX | NB)", "EAGAIN")
        check(one.is_waiting, "the lock was given up while a copy of its descriptor was open")
        other.expect("close_file('copy')", "None")
        check(one.answer() == "None", "closing did not free the lock")


def test_ranges_between_mounts():
    with WorkersCluster() as cluster:
        sides, (one, other, third) = workers(cluster, 3)
        one.expect("record(SETLK, 'f', WRITE, 10, 10)[0]", "1")
        other.expect("record(SETLK, 'f', WRITE, 0, 10)[0]", "1")
        other.expect("record(SETLK, 'f', WRITE, 19, 1)", "EAGAIN")
        other.expect("record(SETLK, 'f', READ, 19, 0)", "EAGAIN")
        other.expect("record(SETLK, 'f', READ, 20, 0)[0]", "0")
        # Of a process elsewhere there is no number that means anything here: 0. Of one of the same mount its own.
        other.expect("record(GETLK, 'f', WRITE, 5, 10)", "(1, 10, 10, 0)")
        third.expect("record(GETLK, 'f', WRITE, 5, 10)", "(1, 0, 10, 0)")
        third.expect("record(GETLK, 'f', WRITE, 10, 10)", f"(1, 10, 10, {one.process.pid})")
        third.expect("record(GETLK, 'f', WRITE, 20, 5)", "(0, 20, 0, 0)")
        one.expect("record(GETLK, 'f', WRITE, 10, 5)[0]", "2")
        # In the middle: two locks are left.
        one.expect("record(SETLK, 'f', UNLOCK, 13, 4)[0]", "2")
        other.expect("record(SETLK, 'f', WRITE, 13, 4)[0]", "1")
        other.expect("record(SETLK, 'f', WRITE, 12, 1)", "EAGAIN")
        other.expect("record(SETLK, 'f', WRITE, 17, 1)", "EAGAIN")
        # The whole file, however long: to the end of what off_t can say.
        third.expect(f"record(SETLK, 'f', READ, {2**63 - 1}, 1)[0]", "0")
        one.expect("record(SETLK, 'f', WRITE, 1000, 0)", "EAGAIN")
        third.expect("record(SETLK, 'f', UNLOCK)[0]", "2")
        other.expect("record(SETLK, 'f', UNLOCK)[0]", "2")
        # Up and down again.
        one.expect("record(SETLK, 'f', READ, 0, 0)[0]", "0")
        other.expect("record(SETLK, 'f', READ, 100, 0)[0]", "0")
        other.tell("record(SETLKW, 'f', WRITE, 0, 100)")
        wait_for_waiters(cluster, 1)
        one.expect("record(SETLK, 'f', WRITE, 100, 1)", "EAGAIN")
        one.expect("record(SETLK, 'f', UNLOCK, 0, 100)[0]", "2")
        check(other.answer().startswith("(1,"), "the range was not granted")
        # The kinds do not know of each other, as on a local disk.
        third.expect("flock('f', EX | NB)", "None")
        # Any descriptor of the file that the process closes frees its ranges; one that only reads, too.
        one.expect("record(SETLK, 'f', UNLOCK)[0]", "2")
        one.expect(f"open_file('r', {sides[0] + '/file'!r}, os.O_RDONLY)", "None")
        other.expect(f"open_file('r', {sides[1] + '/file'!r}, os.O_RDONLY)", "None")
        other.expect("close_file('r')", "None")
        one.expect("record(SETLK, 'f', WRITE)[0]", "1")
        one.expect("close_file('r')", "None")
        other.expect("record(SETLK, 'f', WRITE)[0]", "1")


def test_signals_end_the_waiting():
    with WorkersCluster() as cluster:
        _, (one, other, third, last) = workers(cluster, 4)
        one.expect("record(SETLK, 'f', WRITE)[0]", "1")
        one.expect("flock('f', EX)", "None")
        # Ctrl-C: the handler of Python raises.
        other.tell("flock('f', EX)")
        third.tell("record(SETLKW, 'f', READ)")
        wait_for_waiters(cluster, 2)
        other.process.send_signal(signal.SIGINT)
        check(other.answer().startswith("KeyboardInterrupt"), "Ctrl-C did not end flock")
        third.process.send_signal(signal.SIGINT)
        check(third.answer().startswith("KeyboardInterrupt"), "Ctrl-C did not end fcntl")
        check(lock_waits(cluster) == 0, "somebody still waits")
        # alarm(2) is how programs limit the waiting. (Python itself begins the call again, so ctypes makes it.)
        other.expect("[signal.signal(signal.SIGALRM, handle)] and None", "None")
        other.expect("signal.siginterrupt(signal.SIGALRM, True)", "None")
        other.expect("ctypes.CDLL(None, use_errno=True) and None", "None")
        other.tell("(signal.setitimer(signal.ITIMER_REAL, 0.5), ctypes.CDLL(None, use_errno=True).flock(files['f'], EX), errno.errorcode[ctypes.get_errno()])[1:]")
        check(other.answer() in ("(-1, 'EINTR')",), f"an alarm did not end flock: {other.answer()}")
        # A signal whose handler restarts calls does not.
        third.expect("[signal.signal(signal.SIGUSR1, handle)] and None", "None")
        third.expect("signal.siginterrupt(signal.SIGUSR1, False)", "None")
        third.tell("ctypes.CDLL(None).flock(files['f'], EX)")
        wait_for_waiters(cluster, 1)
        for _ in range(3):
            third.process.send_signal(signal.SIGUSR1)
            time.sleep(0.1)
        wait_for_waiters(cluster, 1)
        # One that is killed while it waits leaves nothing behind.
        last.tell("record(SETLKW, 'f', WRITE)")
        wait_for_waiters(cluster, 2)
        last.process.kill()
        wait_for_waiters(cluster, 1)
        one.expect("record(SETLK, 'f', UNLOCK)[0]", "2")
        one.expect("flock('f', UN)", "None")
        check(third.answer() == "0", "the lock was not granted after signals")
        other.expect("record(SETLK, 'f', WRITE)[0]", "1")
        third.kill()
        other.expect("flock('f', EX)", "None")
        other.kill()
        wait_until(lambda: locks(cluster) == 0, "all locks to be free")


def test_deadlock_between_mounts():
    with WorkersCluster() as cluster:
        sides, (one, other) = workers(cluster, 2)
        for worker, side in ((one, sides[0]), (other, sides[1])):
            worker.expect(f"open_file('g', {side + '/second'!r})", "None")
        one.expect("record(SETLK, 'f', WRITE)[0]", "1")
        other.expect("record(SETLK, 'g', WRITE)[0]", "1")
        one.tell("record(SETLKW, 'g', WRITE)")
        wait_for_waiters(cluster, 1)
        other.expect("record(SETLKW, 'f', WRITE)", "EDEADLK")
        check(one.is_waiting, "the other one should wait")
        other.expect("record(SETLK, 'g', UNLOCK)[0]", "2")
        check(one.answer().startswith("(1,"), "the lock was not granted")


def test_open_file_locks():
    with WorkersCluster() as cluster:
        sides, (one, other) = workers(cluster, 2)
        one.expect(f"open_file('g', {sides[0] + '/file'!r})", "None")
        one.expect("record(OFD_SETLK, 'f', WRITE, 0, 10)[0]", "1")
        # Another open file of the same process is another owner.
        one.expect("record(OFD_SETLK, 'g', WRITE, 5, 1)", "EAGAIN")
        one.expect("record(SETLK, 'f', WRITE, 5, 1)", "EAGAIN")
        other.expect("record(OFD_SETLK, 'f', READ, 9, 1)", "EAGAIN")
        other.expect("record(OFD_GETLK, 'f', READ, 9, 1)[:3]", "(1, 0, 10)")
        # Closing another descriptor does not free it, nor does a child that closes its copy.
        one.expect("close_file('g')", "None")
        one.expect("os.waitpid(os.fork() or os._exit(0), 0)[1]", "0")
        other.expect("record(OFD_SETLK, 'f', READ, 9, 1)", "EAGAIN")
        other.tell("record(OFD_SETLKW, 'f', WRITE, 0, 20)")
        wait_for_waiters(cluster, 1)
        # The end of the open file does.
        one.expect("close_file('f')", "None")
        check(other.answer().startswith("(1,"), "the lock was not granted")
        wait_until(lambda: locks(cluster) == 1, "one lock to be left")


INCREMENT = r"""
import fcntl, os, sys
path, count, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
for _ in range(count):
    file = os.open(path, os.O_RDWR)
    if kind == "flock":
        fcntl.flock(file, fcntl.LOCK_EX)
    else:
        fcntl.lockf(file, fcntl.LOCK_EX)
    value = int(os.pread(file, 20, 0) or b"0")
    os.pwrite(file, b"%d" % (value + 1), 0)
    if kind == "flock":
        fcntl.flock(file, fcntl.LOCK_UN)
    elif kind == "fcntl":
        fcntl.lockf(file, fcntl.LOCK_UN)
    os.close(file)
"""


def test_counters():
    """Read, add one, write, under a lock: nothing is lost between two mounts with two processes each. Without one, it is."""
    with WorkersCluster() as cluster:
        sides = [cluster.second_mount(1), cluster.second_mount(2)]
        for kind, count in (("flock", 1000), ("fcntl", 1000), ("closed", 200)):
            open(f"{sides[0]}/{kind}", "w").close()
            running = [subprocess.Popen([sys.executable, "-c", INCREMENT, f"{side}/{kind}", str(count), kind]) for side in sides]
            for process in running:
                check(process.wait(timeout=300) == 0, f"a counter with {kind} failed")
            for side in sides:
                found = int(open(f"{side}/{kind}").read())
                check(found == 2 * count, f"{kind}: {found} instead of {2 * count}")


def test_death_of_a_process_and_of_a_mount():
    with WorkersCluster() as cluster:
        sides, (one, other, third) = workers(cluster, 3)
        one.expect("record(SETLK, 'f', WRITE)[0]", "1")
        one.expect("flock('f', EX)", "None")
        third.expect("os.pwrite(files['f'], b'before', 0)", "6")
        other.tell("flock('f', EX)")
        wait_for_waiters(cluster, 1)
        one.kill()
        check(other.answer() == "None", "the death of a process did not free its lock")
        other.expect("record(SETLK, 'f', WRITE)[0]", "1")
        # Now the whole mount of the holder, which cannot say anything any more.
        third.tell("record(SETLKW, 'f', WRITE)")
        wait_for_waiters(cluster, 1)
        mount = next(process for process, path in cluster.extra if path == sides[1])
        mount.kill()
        mount.wait()
        check(third.answer(limit=40).startswith("(1,"), "the death of a mount did not free its locks")
        third.expect("os.pwrite(files['f'], b'after ', 0)", "6")


def test_a_frozen_mount_loses_its_locks_and_knows():
    with WorkersCluster() as cluster:
        sides, (one, other) = workers(cluster, 2)
        one.expect("os.pwrite(files['f'], b'first', 0)", "5")
        one.expect("os.fsync(files['f'])", "None")
        one.expect("flock('f', EX)", "None")
        other.tell("flock('f', EX)")
        wait_for_waiters(cluster, 1)
        mount = next(process for process, path in cluster.extra if path == sides[0])
        mount.send_signal(signal.SIGSTOP)
        try:
            check(other.answer(limit=60) == "None", "the lock of a frozen mount was not freed")
            other.expect("os.pwrite(files['f'], b'other', 0)", "5")
            other.expect("flock('f', UN)", "None")
        finally:
            mount.send_signal(signal.SIGCONT)
        # What it does under the lock that it has no more is refused.
        one.expect("os.pwrite(files['f'], b'wrong', 0)", "EIO")
        one.expect("flock('f', SH | NB)", "EIO")
        other.expect("os.pread(files['f'], 10, 0)", "b'other'")
        # One that is opened anew is as any other.
        one.ask("close_file('f')")
        one.expect(f"open_file('f', {sides[0] + '/file'!r})", "None")
        one.expect("flock('f', EX | NB)", "None")
        one.expect("os.pwrite(files['f'], b'third', 0)", "5")
        other.expect("os.pread(files['f'], 10, 0)", "b'third'")


def test_kill_the_leader_while_locks_are_held():
    with WorkersCluster() as cluster:
        followers = [number for number in (1, 2, 3) if number != cluster.leader()]
        sides = [cluster.second_mount(number) for number in followers]
        one, other, third = Worker(), Worker(), Worker()
        for worker, side in ((one, sides[0]), (other, sides[1]), (third, sides[1])):
            worker.expect(f"open_file('f', {side + '/file'!r})", "None")
        one.expect("record(SETLK, 'f', WRITE, 0, 10)[0]", "1")
        one.expect("flock('f', EX)", "None")
        other.tell("record(SETLKW, 'f', WRITE, 5, 1)")
        wait_for_waiters(cluster, 1)
        cluster.kill(cluster.leader())
        third.expect("record(SETLK, 'f', READ, 5, 1)", "EAGAIN")
        third.expect("flock('f', SH | NB)", "EAGAIN")
        check(other.is_waiting, "a lock was granted twice")
        one.expect("os.pwrite(files['f'], b'written', 0)", "7")
        one.expect("record(SETLK, 'f', UNLOCK)[0]", "2")
        check(other.answer().startswith("(1,"), "who waited was forgotten")
        third.tell("flock('f', EX)")
        wait_for_waiters(cluster, 1)
        cluster.up()
        cluster.wait_until_whole()
        cluster.kill(cluster.leader())
        one.expect("flock('f', UN)", "None")
        check(third.answer() == "None", "who waited was forgotten by the second leader")
        third.expect("os.pread(files['f'], 10, 0)", "b'written'")


def test_limit_of_locks():
    with WorkersCluster(nodes=1) as cluster:
        side = cluster.second_mount(1)
        one, other = Worker(), Worker()
        for worker in (one, other):
            worker.expect(f"open_file('f', {side + '/file'!r})", "None")
        limit = 65_536
        one.tell("exec('n = 0\\nwhile True:\\n    record(SETLK, \"f\", WRITE, 2 * n, 1)\\n    n += 1', globals())")
        check(one.answer(limit=300) == "ENOLCK", f"no limit was told: {one.answers[-1]}")
        one.expect("n", str(limit))
        other.expect("record(SETLK, 'f', READ, 1, 1)", "ENOLCK")
        one.expect("record(SETLK, 'f', UNLOCK, 0, 1)[0]", "2")
        other.expect("record(SETLK, 'f', READ, 1, 1)[0]", "0")
        one.expect("record(SETLK, 'f', UNLOCK)[0]", "2")
        check(locks(cluster) == 1, f"{locks(cluster)} locks are left")


SQLITE = r"""
import sqlite3, sys
path, mode, who, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
base = sqlite3.connect(path, timeout=120, isolation_level=None)
base.execute(f"pragma journal_mode={mode}")
for number in range(count):
    base.execute("begin immediate")
    total = base.execute("select value from total").fetchone()[0]
    base.execute("insert into rows values (?, ?, ?)", (who, number, "x" * (number % 700)))
    base.execute("update total set value = ?", (total + 1,))
    base.execute("commit")
base.close()
"""


def test_sqlite_from_two_processes():
    """Rollback journals from two mounts at once; the write-ahead log needs shared memory, which is promised on one machine only."""
    with WorkersCluster() as cluster:
        sides = [cluster.second_mount(1), cluster.second_mount(2)]
        for mode, places in (("delete", sides), ("truncate", sides), ("persist", sides), ("wal", [sides[0], sides[0]])):
            path = f"{mode}.db"
            run("sqlite3", f"{sides[0]}/{path}", f"pragma journal_mode={mode}; create table rows(who, number, text); create table total(value); insert into total values (0);")
            count = 60
            running = [
                subprocess.Popen([sys.executable, "-c", SQLITE, f"{side}/{path}", mode, str(who), str(count)]) for who, side in enumerate(places)
            ]
            for process in running:
                check(process.wait(timeout=300) == 0, f"sqlite with journal mode {mode} failed")
            for side in places:
                found = run("sqlite3", f"{side}/{path}", "pragma integrity_check; select value from total; select count(*) from rows; select count(distinct who || '/' || number) from rows;").split()
                check(found == ["ok", str(2 * count), str(2 * count), str(2 * count)], f"sqlite, {mode}: {found}")
