import Filesystem
import Glibc
import Model
import Namespace
package import Runtime
import TestSupport

/// Two users on each client take locks of a few files, wait for them or not, change their minds, and change a value that a lock protects.
@LoopActor
package final class LockWorkload: Workload {
    private struct Opened {
        var name: String
        var inode: InodeID
        var handle: UInt64
    }

    private let context: WorkloadContext
    private let ledger: LockLedger

    package init(_ context: WorkloadContext) {
        self.context = context
        ledger = context.recorder.ledger("locks") { LockLedger(area: "locks", directory: context.area, recorder: context.recorder) }
    }

    package func run(until deadline: UInt64) async {
        let second = Task { @LoopActor in await self.use(2, until: deadline) }
        await use(1, until: deadline)
        await second.value
    }

    private func use(_ user: UInt64, until deadline: UInt64) async {
        await context.loop(until: deadline) {
            guard let file = await open() else { return }
            for _ in 0..<1 + context.random.below(4) {
                let isWell =
                    switch context.random.below(4) {
                    case 0...1: await section(file, user)
                    case 2: await range(file, user)
                    default: await upgrade(file, user)
                    }
                if !isWell { break }
                await context.think()
            }
            await context.files.closeLocks(file.inode, owner: user)
            await context.files.release(file.inode, handle: file.handle)
        }
    }

    private func open() async -> Opened? {
        let name = LockLedger.names[context.random.below(LockLedger.names.count)]
        guard
            let (entry, open) = try? await context.files.create(
                context.area, Array(name.utf8), mode: 0o644, flags: O_RDWR | O_CREAT, Caller(uid: 1000, gid: 1000))
        else { return nil }
        context.files.forget(entry.attributes.inode, count: 1)
        return Opened(name: name, inode: entry.attributes.inode, handle: open.handle)
    }

    // MARK: Locks

    /// Returns the hold; nil if the lock was not granted, `isWell` false if the handle is of no use any more.
    private func take(_ file: Opened, _ lock: FileLock) async -> (hold: UInt64?, isWell: Bool) {
        let waits = !context.once(in: 3)
        let interrupt = Interrupt()
        let timer = context.once(in: 2) ? context.clock.schedule(after: UInt64(context.random.below(8_000_000_000))) { interrupt.raise() } : nil
        defer { timer?.cancel() }
        let called = context.recorder.stamp()
        do throws(Errno) {
            try await context.files.setLock(file.inode, handle: file.handle, lock, waits: waits, interrupt: interrupt)
            return (ledger.granted(context.client, file.name, lock, called: called), true)
        } catch {
            let isExpected =
                switch error.rawValue {
                case EIO: true
                case EAGAIN: !waits
                case EINTR: timer != nil
                case EDEADLK: waits && lock.owner.family == .posix
                default: false
                }
            if !isExpected {
                let line = "\(context.client) got errno \(error.rawValue) for a lock at \(context.recorder.stamp())"
                context.recorder.violate(Violation(.error, "locks/\(file.name)", line))
            }
            return (nil, error.rawValue != EIO)
        }
    }

    private func giveUp(_ file: Opened, _ hold: UInt64, _ owner: LockOwner, _ range: LockRange) async -> Bool {
        ledger.givesUp(hold)
        do throws(Errno) {
            try await context.files.setLock(file.inode, handle: file.handle, FileLock(owner, process: 1, range, nil), waits: false, interrupt: nil)
            return true
        } catch { return false }
    }

    // MARK: Steps

    /// Reads the value and writes another one, under a lock.
    private func section(_ file: Opened, _ user: UInt64) async -> Bool {
        // The kernel has a name of its own for every open file.
        let owner = LockOwner(.flock, file.handle)
        let (hold, isWell) = await take(file, FileLock(owner, process: 1, whole: .exclusive))
        guard let hold else { return isWell }
        let write = context.recorder.nextTag()
        let call = ledger.history(file.name).begin(context.client, .section(found: nil, write: write))
        do throws(Errno) {
            if let found = try await ledger.value(context.files, file.inode, file.handle, context.client) {
                // In steps: a client that was frozen meanwhile goes on with the next one, and may learn of the loss before it writes.
                for _ in 0..<(context.once(in: 3) ? context.random.below(8) : 1) { await context.think() }
                ledger.history(file.name).change(call, to: .section(found: found, write: write))
                let bytes = Cells.positioned(tag: write, place: 0, count: 1)
                _ = try await context.files.write(file.inode, handle: file.handle, offset: 0, bytes)
                try await context.files.sync(file.inode, handle: file.handle, dataOnly: false)
                ledger.history(file.name).end(call, found)
            }
        } catch {
            // Its effect is not known; the next steps go on all the same.
        }
        // Some leave that to the end of the open file.
        if context.once(in: 5) {
            ledger.givesUp(hold)
            return false
        }
        return await giveUp(file, hold, owner, .all)
    }

    private func someRange() -> LockRange {
        let first = UInt64(context.random.below(6))
        return LockRange(first, context.once(in: 5) ? LockRange.end : first + UInt64(context.random.below(4))) ?? .all
    }

    private func range(_ file: Opened, _ user: UInt64) async -> Bool {
        let lock = FileLock(LockOwner(.posix, user), process: 1, someRange(), context.once(in: 2) ? .shared : .exclusive)
        let (hold, isWell) = await take(file, lock)
        guard let hold else { return isWell }
        await context.think()
        return await giveUp(file, hold, lock.owner, context.once(in: 2) ? lock.range : .all)
    }

    /// A shared lock becomes an exclusive one, and perhaps a shared one again.
    private func upgrade(_ file: Opened, _ user: UInt64) async -> Bool {
        var lock = FileLock(LockOwner(.posix, user), process: 1, someRange(), .shared)
        var (hold, isWell) = await take(file, lock)
        guard var held = hold else { return isWell }
        if context.once(in: 2) { await context.think() }
        lock.mode = .exclusive
        (hold, isWell) = await take(file, lock)
        if let upgraded = hold {
            ledger.givesUp(held)
            held = upgraded
            await context.think()
            if context.once(in: 2) {
                // Others may come in from the moment of the call on.
                ledger.givesUp(held)
                lock.mode = .shared
                (hold, isWell) = await take(file, lock)
                guard let downgraded = hold else { return isWell }
                held = downgraded
            }
        }
        return await giveUp(file, held, lock.owner, .all)
    }
}
