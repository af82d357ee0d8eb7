import Glibc
import Namespace
import Runtime
import TestSupport
import Testing

@testable import FuseMount

/// How locks and signals pass between the kernel and the filesystem.
@Suite(.serialized, .enabled(if: canMount, "needs root and /dev/fuse")) @LoopActor struct LockTests {
    /// What the processes of these tests begin with.
    private static let setup = """
        import fcntl, struct, ctypes, signal
        scope = globals()
        def rec(f, command, kind, start=0, length=0):
            packed = fcntl.fcntl(f, command, struct.pack('hhqqi4x', kind, 0, start, length, 0))
            return struct.unpack('hhqqi4x', packed)
        f = os.open(M+'/file', os.O_RDWR | os.O_CREAT)
        result = None
        """

    private func waiting(_ mounted: Mounted, _ count: Int) async {
        for _ in 0..<600 where mounted.files.locks.table.waitingCount != count { await SystemThread.run("pause") { _ = usleep(20_000) } }
        #expect(mounted.files.locks.table.waitingCount == count)
    }

    @Test func rangesAndTheirHolders() async throws {
        try await Mounted.with { mounted, one in
            let other = try Child(mounted.path)
            for child in [one, other] { #expect(await child.ask(Self.setup) == "None") }
            #expect(await one.ask("rec(f, fcntl.F_SETLK, fcntl.F_WRLCK, 10, 5)[0]") == "1")
            #expect(await other.ask("rec(f, fcntl.F_SETLK, fcntl.F_RDLCK, 14, 1)") == "EAGAIN")
            #expect(await other.ask("rec(f, fcntl.F_GETLK, fcntl.F_RDLCK, 0, 0)") == "(1, 0, 10, 5, \(one.process))")
            #expect(await other.ask("rec(f, fcntl.F_GETLK, fcntl.F_RDLCK, 0, 10)[0]") == "2")
            #expect(await other.ask("rec(f, fcntl.F_SETLK, fcntl.F_RDLCK, 15, 0)[0]") == "0")
            #expect(await one.ask("rec(f, fcntl.F_GETLK, fcntl.F_WRLCK, 15, 0)") == "(0, 0, 15, 0, \(other.process))")
            // Any close frees what a process has.
            #expect(await one.ask("os.close(os.open(M+'/file', os.O_RDONLY))") == "None")
            #expect(await other.ask("rec(f, fcntl.F_SETLK, fcntl.F_WRLCK)[0]") == "1")
            #expect(await other.end())
            #expect(await one.ask("rec(f, fcntl.F_SETLK, fcntl.F_WRLCK)[0]") == "1")
        }
    }

    @Test func locksOfOpenFiles() async throws {
        try await Mounted.with { mounted, one in
            #expect(await one.ask(Self.setup) == "None")
            #expect(await one.ask("rec(f, 37, fcntl.F_WRLCK, 0, 9)[0]") == "1")
            #expect(await one.ask("os.close(os.open(M+'/file', os.O_RDONLY))") == "None")
            #expect(mounted.files.locks.table.count == 1)
            #expect(await one.ask("fcntl.flock(f, fcntl.LOCK_EX)") == "None")
            #expect(mounted.files.locks.table.count == 2)
            #expect(await one.ask("os.close(f)") == "None")
            // The kernel does not wait for the answer to the last close.
            for _ in 0..<600 where mounted.files.locks.table.count > 0 { await SystemThread.run("pause") { _ = usleep(20_000) } }
            let isEmpty = mounted.files.locks.table.isEmpty
            #expect(isEmpty)
        }
    }

    /// More than there are threads to read requests: who waits holds none of them.
    @Test func waitingTakesNoThread() async throws {
        try await Mounted.with({ $0.maxThreads = 2 }) { mounted, one in
            #expect(await one.ask(Self.setup) == "None")
            #expect(await one.ask("fcntl.flock(f, fcntl.LOCK_EX)") == "None")
            var others: [Child] = []
            for _ in 0..<5 {
                let other = try Child(mounted.path)
                #expect(await other.ask(Self.setup) == "None")
                other.tell("fcntl.flock(f, fcntl.LOCK_SH)")
                others.append(other)
            }
            await waiting(mounted, 5)
            #expect(await one.ask("os.mkdir(M+'/d') or os.listdir(M)") == "['d', 'file']")
            #expect(await one.ask("fcntl.flock(f, fcntl.LOCK_UN)") == "None")
            for other in others {
                #expect(await other.answer() == "None")
                #expect(await other.end())
            }
        }
    }

    /// Every signal with a handler ends it: an alarm as well as Ctrl-C. One whose handler restarts calls does not.
    @Test func signals() async throws {
        try await Mounted.with { mounted, one in
            let other = try Child(mounted.path)
            for child in [one, other] { #expect(await child.ask(Self.setup) == "None") }
            #expect(await one.ask("fcntl.flock(f, fcntl.LOCK_EX)") == "None")
            #expect(await other.ask("[signal.signal(signal.SIGALRM, lambda *_: None)] and None") == "None")
            #expect(await other.ask("signal.siginterrupt(signal.SIGALRM, True)") == "None")
            #expect(await other.ask("scope.__setitem__('C', ctypes.CDLL(None, use_errno=True))") == "None")
            other.tell("(C.flock(f, fcntl.LOCK_EX), ctypes.get_errno() == errno.EINTR)")
            await waiting(mounted, 1)
            kill(other.process, SIGALRM)
            #expect(await other.answer() == "(-1, True)")
            await waiting(mounted, 0)
            other.tell("rec(f, fcntl.F_SETLKW, fcntl.F_RDLCK)[0]")
            #expect(await other.answer() == "0")
            other.tell("fcntl.flock(f, fcntl.LOCK_EX)")
            await waiting(mounted, 1)
            kill(other.process, SIGINT)
            #expect(await other.answer().hasPrefix("KeyboardInterrupt"))
            await waiting(mounted, 0)
            #expect(await other.ask("signal.siginterrupt(signal.SIGALRM, False)") == "None")
            other.tell("C.flock(f, fcntl.LOCK_EX)")
            await waiting(mounted, 1)
            let before = mounted.files.calls["lock"] ?? 0
            kill(other.process, SIGALRM)
            for _ in 0..<600 where mounted.files.calls["lock"] == before { await SystemThread.run("pause") { _ = usleep(20_000) } }
            await waiting(mounted, 1)
            #expect(await one.ask("fcntl.flock(f, fcntl.LOCK_UN)") == "None")
            #expect(await other.answer() == "0")
            // A process that dies while it waits is let go.
            one.tell("fcntl.flock(f, fcntl.LOCK_EX)")
            await waiting(mounted, 1)
            let dying = try Child(mounted.path)
            #expect(await dying.ask(Self.setup) == "None")
            dying.tell("fcntl.flock(f, fcntl.LOCK_EX)")
            await waiting(mounted, 2)
            #expect(await dying.end())
            await waiting(mounted, 1)
            #expect(await other.end())
            #expect(await one.answer() == "None")
        }
    }

    @Test func errors() async throws {
        try await Mounted.with { mounted, one in
            let other = try Child(mounted.path)
            for child in [one, other] { #expect(await child.ask(Self.setup) == "None") }
            #expect(await one.ask("rec(f, fcntl.F_SETLK, fcntl.F_WRLCK, 0, 1)[0]") == "1")
            #expect(await other.ask("rec(f, fcntl.F_SETLK, fcntl.F_WRLCK, 1, 1)[0]") == "1")
            one.tell("rec(f, fcntl.F_SETLKW, fcntl.F_WRLCK, 1, 1)[0]")
            await waiting(mounted, 1)
            #expect(await other.ask("rec(f, fcntl.F_SETLKW, fcntl.F_WRLCK, 0, 1)").hasPrefix("EDEADL"))
            #expect(await other.ask("fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)") == "None")
            #expect(await other.end())
            #expect(await one.answer() == "1")
            #expect(await one.ask("os.close(f)") == "None")
            #expect(await one.ask("scope.__setitem__('f', os.open(M+'/file', os.O_RDONLY))") == "None")
            #expect(await one.ask("rec(f, fcntl.F_SETLK, fcntl.F_WRLCK)") == "EBADF")
        }
    }
}
