package import Filesystem
import Glibc
package import Model
package import Namespace
package import Runtime

/// Calls on names that are noted in a ledger. Failures are answered with nil; the ledger knows which.
@LoopActor
package final class RecordedNames {
    private let files: any FileOperations
    private let client: ClientID
    private let ledger: NameLedger
    private let caller = Caller(uid: 1000, gid: 1000)

    package init(_ files: any FileOperations, _ client: ClientID, _ ledger: NameLedger) {
        self.files = files
        self.client = client
        self.ledger = ledger
    }

    // MARK: Looking

    package func lookup(_ parent: InodeID, _ name: String) async -> Attributes? {
        let call = ledger.history.begin(client, .lookup(parent: parent.rawValue, name: name))
        do throws(Errno) { return shown(call, try await files.lookup(parent, Array(name.utf8))) } catch { return failed(call, error) }
    }

    package func attributes(_ inode: InodeID) async -> Attributes? {
        let call = ledger.history.begin(client, .attributes(inode.rawValue))
        do throws(Errno) {
            let attributes = try await files.attributes(inode).attributes
            ledger.recorder.saw(attributes, client, ledger.area)
            ledger.history.end(call, .entry(NameAttributes(attributes)))
            return attributes
        } catch { return failed(call, error) }
    }

    /// The entries but "." and "..".
    /// - Parameter plus: attributes are asked for as well.
    package func list(_ directory: InodeID, plus: Bool = false) async -> [(name: String, inode: InodeID, kind: FileKind)]? {
        let call = ledger.history.begin(client, .list(directory.rawValue))
        do throws(Errno) {
            let handle = try await files.openDirectory(directory)
            var listing: [ListedName] = []
            var failure: Errno?
            var position: UInt64 = 0
            do throws(Errno) {
                while true {
                    let items = try await files.readDirectory(directory, handle: handle, position: position, plus: plus)
                    guard let last = items.last else { break }
                    position = last.next
                    for item in items where item.name != [0x2E] && item.name != [0x2E, 0x2E] {
                        listing.append(
                            ListedName(name: String(decoding: item.name, as: UTF8.self), inode: item.inode.rawValue, kind: item.kind))
                    }
                }
            } catch { failure = error }
            await files.releaseDirectory(directory, handle: handle)
            if let failure { throw failure }
            ledger.history.end(call, .listing(listing))
            return listing.map { ($0.name, InodeID(rawValue: $0.inode), $0.kind) }
        } catch { return failed(call, error) }
    }

    package func target(_ inode: InodeID) async -> String? {
        let call = ledger.history.begin(client, .target(inode.rawValue))
        do throws(Errno) {
            let target = String(decoding: try await files.readSymlink(inode), as: UTF8.self)
            ledger.history.end(call, .target(target))
            return target
        } catch { return failed(call, error) }
    }

    // MARK: Making

    package func makeDirectory(_ parent: InodeID, _ name: String) async -> Attributes? {
        let call = begin(.directory, parent, name, isExclusive: true)
        do throws(Errno) { return made(call, try await files.makeDirectory(parent, Array(name.utf8), mode: 0o755, caller), name) } catch {
            return failed(call, error)
        }
    }

    package func makeSymlink(_ parent: InodeID, _ name: String, target: String) async -> Attributes? {
        let call = begin(.symlink, parent, name, isExclusive: true, target: target)
        do throws(Errno) {
            return made(call, try await files.makeSymlink(parent, Array(name.utf8), target: Array(target.utf8), caller), name)
        } catch { return failed(call, error) }
    }

    /// Makes a file and opens it; where the name is there it is opened, or the call fails if `isExclusive`. The handle is the caller's.
    package func create(_ parent: InodeID, _ name: String, isExclusive: Bool, flags: Int32) async -> (Attributes, handle: UInt64)? {
        let call = begin(.file, parent, name, isExclusive: isExclusive)
        do throws(Errno) {
            let (entry, open) = try await files.create(
                parent, Array(name.utf8), mode: 0o644, flags: flags | (isExclusive ? O_EXCL : 0), caller)
            let attributes = isExclusive ? made(call, entry, name) : shown(call, entry)
            return (attributes, open.handle)
        } catch { return failed(call, error) }
    }

    package func link(_ inode: InodeID, _ parent: InodeID, _ name: String) async -> Attributes? {
        let call = ledger.history.begin(client, .link(inode: inode.rawValue, parent: parent.rawValue, name: name))
        do throws(Errno) {
            let entry = try await files.link(inode, to: parent, Array(name.utf8))
            synced(call)
            return shown(call, entry)
        } catch { return failed(call, error) }
    }

    /// Makes a file without a name and opens it. The handle is the caller's.
    package func createTemporary(_ parent: InodeID, flags: Int32) async -> (Attributes, handle: UInt64)? {
        guard let (entry, open) = try? await files.createTemporary(parent, mode: 0o644, flags: flags, caller) else { return nil }
        ledger.recorder.saw(entry.attributes, client, ledger.area)
        files.forget(entry.attributes.inode, count: 1)
        return (entry.attributes, open.handle)
    }

    /// Gives a temporary file its first name: for others it is made then.
    @discardableResult
    package func link(temporary inode: InodeID, _ parent: InodeID, _ name: String) async -> Attributes? {
        let call = begin(.file, parent, name, isExclusive: true)
        do throws(Errno) { return made(call, try await files.link(inode, to: parent, Array(name.utf8)), name) } catch {
            // After the loss of a session it is gone itself.
            let isCertain = error.rawValue == EEXIST
            ledger.history.end(call, isCertain ? .failed(EEXIST) : nil)
            return nil
        }
    }

    private func begin(_ kind: FileKind, _ parent: InodeID, _ name: String, isExclusive: Bool, target: String = "") -> Int {
        let symbol = NameState.symbolBit | ledger.recorder.nextTag()
        return ledger.history.begin(
            client,
            .create(parent: parent.rawValue, name: name, kind: kind, isExclusive: isExclusive, target: target, symbol: symbol))
    }

    // MARK: Removing and moving

    @discardableResult
    package func unlink(_ parent: InodeID, _ name: String) async -> Bool {
        let call = ledger.history.begin(client, .unlink(parent: parent.rawValue, name: name))
        do throws(Errno) { try await files.unlink(parent, Array(name.utf8)) } catch { return failed(call, error) ?? false }
        return done(call)
    }

    @discardableResult
    package func removeDirectory(_ parent: InodeID, _ name: String) async -> Bool {
        let call = ledger.history.begin(client, .removeDirectory(parent: parent.rawValue, name: name))
        do throws(Errno) { try await files.removeDirectory(parent, Array(name.utf8)) } catch { return failed(call, error) ?? false }
        return done(call)
    }

    @discardableResult
    package func rename(_ from: InodeID, _ name: String, to: InodeID, _ newName: String, mode: RenameMode) async -> Bool {
        let call = ledger.history.begin(
            client, .rename(from: from.rawValue, name: name, to: to.rawValue, newName: newName, mode: mode))
        do throws(Errno) { try await files.rename(from, Array(name.utf8), to: to, Array(newName.utf8), mode: mode) } catch {
            return failed(call, error) ?? false
        }
        return done(call)
    }

    /// fsync(2) of a directory.
    package func sync(_ directory: InodeID) async {
        let called = ledger.recorder.stamp()
        guard (try? await files.syncDirectory(directory)) != nil else { return }
        ledger.recorder.noteSynced(client, called: called)
    }

    // MARK: Ends

    /// The leader has carried the call out, and so what came before.
    private func synced(_ call: Int) { ledger.recorder.noteSynced(client, called: ledger.history.operations[call].called) }

    private func done(_ call: Int) -> Bool {
        ledger.history.end(call, .done)
        return true
    }

    /// As a kernel that has no use for the inode any more.
    private func shown(_ call: Int, _ entry: EntryReply) -> Attributes {
        ledger.recorder.saw(entry.attributes, client, ledger.area)
        ledger.history.end(call, .entry(NameAttributes(entry.attributes)))
        files.forget(entry.attributes.inode, count: 1)
        return entry.attributes
    }

    private func made(_ call: Int, _ entry: EntryReply, _ name: String) -> Attributes {
        ledger.recorder.created(entry.attributes.inode, client, "\(ledger.area)/\(name)")
        return shown(call, entry)
    }

    private func failed<Value>(_ call: Int, _ error: Errno) -> Value? {
        ledger.history.end(call, error.isUncertain ? nil : .failed(error.rawValue))
        return nil
    }
}
