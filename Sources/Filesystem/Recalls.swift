import Metadata
import Model
import Namespace
import Runtime
import Telemetry

/// Giving leases back, and losing the session.
extension DistributedFilesystem {
    /// Commits what was changed, drops what is cached, tells the kernel. Local changes of the inode wait until this is done.
    func answer(_ recall: Recall) async -> RecallAnswer {
        guard let inode = table.existing(recall.inode) else { return RecallAnswer(stillOpen: false) }
        inode.pins += 1
        while let earlier = inode.recall { await earlier.wait() }
        let event = AsyncEvent()
        inode.recall = event
        noteChange(inode)
        if let delegation = inode.delegation {
            delegation.doubtedAt = inode.changedAt
            let wasExclusive = metadata.holdsExclusive(inode.id)
            delegation.noteRecall(wasExclusive: wasExclusive)
            if wasExclusive { above(inode)?.delegatesWithin = false }
        }
        await known(inode)
        await settle(inode)
        await commitForRecall(inode)
        if !recall.keepShared {
            if inode.kernelMayHold, inode.opens > 0, inode.kernelPages == nil { inode.kernelPages = inode.stored }
            dropCaches(of: inode)
            await invalidateKernel(inode)
            await dropKernelPages(inode)
            // Nothing is cached while a recall is being answered, so nothing can have come back.
            if inode.opens > 0 { inode.mustReport = true }
        }
        inode.recall = nil
        inode.pins -= 1
        event.happen()
        reportClosed(inode)
        return RecallAnswer(stillOpen: inode.opens > 0)
    }

    /// Commits until nothing is left. What cannot be committed in time is given up: without the lease it must not come later. The error
    /// stays for
    /// every open handle.
    private func commitForRecall(_ inode: CachedInode) async {
        let deadline = clock.now + options.recallFlushTime
        var delay = 50 * Nanoseconds.millisecond
        while inode.isDirty {
            do throws(Errno) {
                try await commit(inode)
            } catch {
                guard inode.isDirty else { return }
                guard clock.now + delay < deadline else {
                    log.error(
                        "changes of a file are lost: another session needs it", ["inode": "\(inode.id)", "errno": "\(error.rawValue)"])
                    loseChanges(inode)
                    return
                }
                await clock.sleep(nanoseconds: delay)
                delay *= 2
            }
        }
    }

    /// How long the kernel may take for taking in an answer that it was sent. It does so in the thread that asked, whenever that has its turn.
    private static let takingInMax = Nanoseconds.second

    /// Tells the kernel to forget what it may hold.
    ///
    /// Also what it has been sent and not yet taken in. It disregards attributes of an inode that it knows if it was told to forget them since it asked
    /// (`attr_version`, fs/fuse/inode.c). One that it does not know is the first answer that names it, or will be gone from here at once.
    func invalidateKernel(_ inode: CachedInode) async {
        guard let kernelCache, inode.lookups > 0 || inode.id == .root else { return }
        let mayHoldNames = inode.kernelMayHoldNames
        guard inode.kernelMayHold || mayHoldNames else { return }
        inode.kernelMayHold = false
        inode.kernelMayHoldNames = false
        let id = inode.id
        let deadline = clock.now + Self.takingInMax
        var delay = Nanoseconds.millisecond / 16
        while await !kernelCache.invalidate(id), inode.lookups > 0, clock.now < deadline {
            await clock.sleep(nanoseconds: delay)
            delay = min(delay * 2, 2 * Nanoseconds.millisecond)
        }
        guard mayHoldNames else { return }
        await listingsTakenIn(of: inode)
        await kernelCache.invalidateEntries(of: id)
    }

    /// Waits until the kernel has taken in the listings of a directory that it was sent. To the names in them it gives the epoch of that moment
    /// (`fuse_direntplus_link`, fs/fuse/readdir.c), not of the question. It is done when the next part is asked for; nobody may ever do that.
    private func listingsTakenIn(of directory: CachedInode) async {
        while directories.values.contains(where: { $0.inode === directory && ($0.answeredAt.map { clock.now < $0 + Self.listingPatience } ?? false) }) {
            await clock.sleep(nanoseconds: Nanoseconds.millisecond)
        }
    }

    private static let listingPatience = 100 * Nanoseconds.millisecond

    /// Has the kernel drop its pages of an inode that others are about to change: whoever reads compares size and time of change first, a mapping does not.
    /// Not while the kernel holds pages for a request, which may wait for what comes after this: then after the last one.
    private func dropKernelPages(_ inode: CachedInode) async {
        guard inode.kernelMayHoldPages, inode.lookups > 0, let kernelCache else { return }
        guard inode.transfers == 0 else {
            inode.kernelPagesAreOld = true
            return
        }
        inode.kernelMayHoldPages = false
        await kernelCache.dropPagesNow(inode.id)
    }

    func transferBegins(_ inode: CachedInode) {
        inode.transfers += 1
        inode.kernelMayHoldPages = true
    }

    func transferEnds(_ inode: CachedInode) {
        inode.transfers -= 1
        guard inode.transfers == 0, inode.kernelPagesAreOld else { return }
        inode.kernelPagesAreOld = false
        kernelCache?.dropPages(inode.id)
    }

    func invalidateKernelSoon(_ inode: CachedInode) {
        guard inode.kernelMayHold || inode.kernelMayHoldNames else { return }
        Task { @LoopActor [self] in await invalidateKernel(inode) }
    }

    /// The session ended without asking: what was not committed is lost, and everything cached is void.
    func sessionLost() {
        loseLocks()
        inodeNumbers.sessionLost()
        var lost = 0
        for inode in table.all {
            if inode.isDirty {
                lost += 1
                inode.errorCount += 1
                inode.lastError = .io
                loseChanges(inode)
            }
            if inode.kernelMayHold, inode.opens > 0, inode.kernelPages == nil { inode.kernelPages = inode.stored }
            dropCaches(of: inode)
            inode.pagesVersion = nil
            invalidateKernelSoon(inode)
            if inode.kernelMayHoldPages { Task { @LoopActor in await dropKernelPages(inode) } }
        }
        log.error("the session with the metadata service is lost", ["files": "\(lost)"])
        wakeWriters(.io)
    }
}
