import Filesystem
import Glibc
import Model
import Namespace
import Runtime
import Telemetry
import Testing

@testable import FuseMount

/// Mounting, unmounting, interrupts and caches.
@Suite(.serialized, .enabled(if: canMount, "needs root and /dev/fuse")) @LoopActor struct LifeTests {
    private func failure(at path: String) async -> FuseMountError.Code? {
        let mount = FuseMount(mountPoint: path, options: FuseOptions(), operations: RamFiles(), log: Log(component: "mount", level: .error))
        do throws(FuseMountError) {
            try await mount.mount()
            await mount.stop()
            return nil
        } catch {
            #expect(!error.description.contains("\n"))
            return error.code
        }
    }

    @Test func badMountPoints() async throws {
        let directory = try Mounted.directory()
        #expect(await failure(at: directory + "/absent") == .missing)
        close(open(directory + "/file", O_CREAT | O_WRONLY, 0o600))
        #expect(await failure(at: directory + "/file") == .notDirectory)
        #expect(await failure(at: directory + "/file/below") == .notDirectory)
        unlink(directory + "/file")
        try await Mounted.with { mounted, _ in #expect(await failure(at: mounted.path) == .busy) }
        #expect(await failure(at: directory + "///") == nil)
        rmdir(directory)
    }

    /// What is left when a process that serves a mount is killed: the mount, with nobody behind it.
    @Test func deadMountIsReplaced() async throws {
        let mounted = try Mounted()
        let killed = try Child(mounted.path)
        #expect(
            await killed.ask(
                """
                import ctypes
                libc = ctypes.CDLL(None, use_errno=True)
                f = os.open('/dev/fuse', os.O_RDWR)
                result = libc.mount(b'dhtfs', M.encode(), b'fuse.dhtfs', 0, f'fd={f},rootmode=40000,user_id=0,group_id=0'.encode())
                """) == "0")
        #expect(await killed.end())
        var status = stat()
        #expect(stat(mounted.path, &status) != 0 && errno == ENOTCONN)

        try await mounted.mount.mount()
        let child = try Child(mounted.path)
        #expect(await child.ask("os.mkdir(M+'/d') or os.listdir(M)") == "['d']")
        #expect(await child.end())
        await mounted.mount.stop()
        #expect(MountPoint.top(at: mounted.path) == nil)
        #expect(rmdir(mounted.path) == 0)
    }

    @Test func unmountedByOthers() async throws {
        let mounted = try Mounted()
        try await mounted.mount.mount()
        let child = try Child(mounted.path)
        #expect(await child.ask("os.mkdir(M+'/d')") == "None")
        #expect(await child.ask("os.system('umount ' + M)") == "0")
        await mounted.mount.run()
        #expect(mounted.files.calls["syncAll"] == 1)
        #expect(mounted.files.kernelCache == nil)
        #expect(await child.ask("os.listdir(M)") == "[]")
        await mounted.mount.stop()
        #expect(await child.end())
        rmdir(mounted.path)
    }

    /// The mount point is free at once, and who has files open gets an error instead of a hanging call.
    @Test(arguments: [true, false]) func stopWhileInUse(queues: Bool) async throws {
        let mounted = try Mounted { $0.usesQueues = queues }
        try await mounted.mount.mount()
        let child = try Child(mounted.path)
        #expect(await child.ask("f = os.open(M+'/f', os.O_CREAT | os.O_WRONLY); result = os.write(f, b'x')") == "1")
        child.tell("while True: os.write(f, b'y'*100000)")
        let server = Task { @LoopActor in await mounted.mount.run() }
        await mounted.mount.stop()
        await server.value
        #expect(MountPoint.top(at: mounted.path) == nil)
        let answer = await child.answer()
        #expect(["ENOTCONN", "ECONNABORTED", "ENODEV"].contains(answer) || queues && answer == "ECANCELED", "\(answer)")
        #expect(await child.ask("os.listdir(M)") == "[]")
        #expect(await child.end())
        rmdir(mounted.path)
        #expect(mounted.files.calls["syncAll", default: 0] >= 2)
    }

    /// While the cluster does not answer: Ctrl-C ends a program that waits for a query.
    @Test(arguments: [true, false]) func interruptedQuery(queues: Bool) async throws {
        try await Mounted.with({ $0.usesQueues = queues }) { mounted, child in
            mounted.files.hold("lookup stuck")
            child.tell("os.stat(M+'/stuck')")
            await mounted.files.somebodyHeld()
            kill(child.process, SIGINT)
            #expect(await child.answer() == "KeyboardInterrupt ")
            mounted.files.letGo()
            #expect(await child.ask("os.stat(M+'/stuck')") == "ENOENT")
        }
    }

    /// A timer or the end of a child is no wish to stop, but a wish that follows it counts.
    @Test func otherSignalsDoNotInterrupt() async throws {
        try await Mounted.with { mounted, child in
            _ = await child.ask("import signal; signal.signal(signal.SIGUSR1, lambda *_: None)")
            mounted.files.hold("lookup stuck")
            child.tell("os.stat(M+'/stuck')")
            await mounted.files.somebodyHeld()
            kill(child.process, SIGUSR1)
            kill(child.process, SIGINT)
            #expect(await child.answer() == "KeyboardInterrupt ")
            // An EINTR for SIGUSR1 would have made Python ask again.
            #expect(mounted.files.calls["lookup"] == 1)
        }
    }

    /// A change is not given up by a signal that the program handles, but a killed program is let go, and the change still happens.
    @Test func killedDuringChange() async throws {
        try await Mounted.with { mounted, child in
            mounted.files.hold("made")
            let other = try Child(mounted.path)
            other.tell("os.mkdir(M+'/made')")
            await mounted.files.somebodyHeld()
            kill(other.process, SIGINT)
            #expect(await other.end())
            #expect(mounted.files.inode("made") == nil)
            mounted.files.letGo()
            #expect(await child.ask("os.path.isdir(M+'/made')") == "True")
        }
    }

    /// What an interrupted call got after all is given back.
    @Test func lateResultIsReleased() async throws {
        try await Mounted.with { mounted, child in
            mounted.files.hold("made")
            let other = try Child(mounted.path)
            other.tell("os.open(M+'/made', os.O_CREAT | os.O_WRONLY)")
            await mounted.files.somebodyHeld()
            #expect(await other.end())
            mounted.files.letGo()
            #expect(await child.ask("os.path.isfile(M+'/made')") == "True")
            #expect(mounted.files.openHandles.isEmpty)
        }
    }

    /// Cached names: the kernel does not ask again until it is told to, even while an operation in the same directory waits.
    @Test func cachedNames() async throws {
        try await Mounted.with { mounted, child in
            guard mounted.mount.canInvalidateEntries else { return }
            mounted.files.entryValidity = 3600 * Nanoseconds.second
            mounted.files.attributesValidity = 3600 * Nanoseconds.second
            _ = await child.ask("open(M+'/old', 'w').close()")
            #expect(await child.ask("os.path.exists(M+'/old')") == "True")
            let lookups = mounted.files.calls["lookup"]
            #expect(await child.ask("[os.path.exists(M+'/old') for _ in range(5)]") == "[True, True, True, True, True]")
            #expect(mounted.files.calls["lookup"] == lookups)

            // Absent ones likewise.
            #expect(await child.ask("os.path.exists(M+'/new')") == "False")
            let absent = mounted.files.calls["lookup"]
            #expect(await child.ask("[os.path.exists(M+'/new') for _ in range(5)]") == "[False, False, False, False, False]")
            #expect(mounted.files.calls["lookup"] == absent)

            mounted.files.hold("stuck")
            let other = try Child(mounted.path)
            other.tell("os.mkdir(M+'/stuck')")
            await mounted.files.somebodyHeld()
            mounted.files.renameRemotely("old", "new")
            #expect(await child.ask("os.path.exists(M+'/old'), os.path.exists(M+'/new')") == "(True, False)")
            await mounted.files.kernelCache?.invalidateEntries(of: .root)
            mounted.files.letGo()
            #expect(await other.answer() == "None")
            #expect(await child.ask("os.path.exists(M+'/old'), os.path.exists(M+'/new')") == "(False, True)")
            #expect(await other.end())
        }
    }

    /// What nobody uses is forgotten when the kernel is asked to; what is open, and what has children in use, stays.
    @Test func unusedInodesAreForgotten() async throws {
        try await Mounted.with { mounted, child in
            guard mounted.mount.canPrune else { return }
            mounted.files.entryValidity = 3600 * Nanoseconds.second
            mounted.files.attributesValidity = 3600 * Nanoseconds.second
            _ = await child.ask("[open(M+'/f%d' % n, 'w').close() for n in range(600)] and os.mkdir(M+'/d')")
            _ = await child.ask("g = [open(M+'/open', 'w'), open(M+'/d/inside', 'w')]")
            let names = (0..<600).map { "f\($0)" } + ["open", "d"]
            #expect(names.allSatisfy(mounted.files.isKnown))
            await mounted.files.kernelCache?.prune(names.compactMap(mounted.files.inode))
            for name in names.prefix(600) { await mounted.files.forgot(name) }
            #expect(mounted.files.isKnown("open") && mounted.files.isKnown("d"))
            #expect(await child.ask("len(os.listdir(M)), os.path.exists(M+'/f5'), g[1].write('x')") == "(602, True, 1)")
            #expect(mounted.mount.canPrune)
        }
    }

    /// Cached attributes and pages stay until they are invalidated.
    @Test func cachedContent() async throws {
        try await Mounted.with { mounted, child in
            mounted.files.attributesValidity = 3600 * Nanoseconds.second
            mounted.files.keepCache = true
            _ = await child.ask("open(M+'/f', 'w').write('first')\ng = os.open(M+'/f', os.O_RDONLY)")
            #expect(await child.ask("os.pread(g, 100, 0), os.fstat(g).st_size") == "(b'first', 5)")
            let reads = mounted.files.calls["read"]
            mounted.files.replaceContent("f", "second")
            #expect(await child.ask("os.pread(g, 100, 0), os.fstat(g).st_size") == "(b'first', 5)")
            #expect(mounted.files.calls["read"] == reads)
            let inode = try #require(mounted.files.inode("f"))
            #expect(await mounted.files.kernelCache?.invalidate(inode) == true)
            #expect(await child.ask("os.pread(g, 100, 0), os.fstat(g).st_size") == "(b'second', 6)")
            // Of the same size and time of change.
            mounted.files.replaceContent("f", "Second", touches: false)
            #expect(await child.ask("os.pread(g, 100, 0)") == "b'second'")
            mounted.files.kernelCache?.dropPages(inode)
            while await child.ask("os.pread(g, 100, 0)") != "b'Second'" {}
            // An inode that the kernel does not know.
            #expect(await mounted.files.kernelCache?.invalidate(InodeID(rawValue: 1 << 40)) == false)
        }
    }

    /// An invalidation does not wait for a read that holds the pages: the read may itself wait for what comes after the invalidation. Nor do many
    /// that are stuck behind such reads hold up others.
    @Test func invalidationBehindARead() async throws {
        try await Mounted.with { mounted, child in
            mounted.files.attributesValidity = 3600 * Nanoseconds.second
            _ = await child.ask("open(M+'/f', 'w').write('text')\nopen(M+'/g', 'w').write('text')")
            let (f, g) = (try #require(mounted.files.inode("f")), try #require(mounted.files.inode("g")))
            mounted.files.hold("read")
            child.tell("open(M+'/f').read()")
            await mounted.files.somebodyHeld()
            let stuck = (0..<10).map { _ in Task { @LoopActor in await mounted.files.kernelCache?.invalidate(f) } }
            for task in stuck { #expect(await task.value == true) }
            #expect(await mounted.files.kernelCache?.invalidate(g) == true)
            mounted.files.replaceContent("g", "other text")
            let other = try Child(mounted.path)
            #expect(await other.ask("os.stat(M+'/g').st_size") == "10")
            // Dropping pages does wait for the read, and holds up nobody.
            for _ in 0..<10 { mounted.files.kernelCache?.dropPages(f) }
            #expect(await mounted.files.kernelCache?.invalidate(g) == true)
            mounted.files.letGo()
            #expect(await child.answer() == "text")
            #expect(await other.end())
        }
    }

    @Test func readAheadIsRaised() async throws {
        try await Mounted.with({ $0.readAheadKiB = 2048 }) { mounted, _ in
            let entry = try #require(MountPoint.top(at: mounted.path))
            guard access("/sys/class/bdi/\(entry.device)/read_ahead_kb", W_OK) == 0 else { return }
            #expect(MountPoint.contents(of: "/sys/class/bdi/\(entry.device)/read_ahead_kb") == "2048\n")
        }
    }
}
