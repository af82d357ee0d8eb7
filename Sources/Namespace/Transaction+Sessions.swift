import Bytes
import Model
import OrderedStore

/// Sessions, exactly-once, and cluster records.
extension Transaction {
    /// Carries out a proposal, or returns the outcome it had before.
    func carryOut(_ proposal: Proposal) throws(StoreError) -> Outcome {
        begin(time: proposal.time, shown: proposal.shown)
        do throws(Failure) {
            guard let session = proposal.session else {
                var nobody: SessionRecord?
                return try perform(proposal.command, by: &nobody)
            }
            return try carryOutOnce(proposal, session)
        } catch {
            switch error {
            case .refused(let reason): return .failed(reason)
            case .store(let error): throw error
            }
        }
    }

    private func carryOutOnce(_ proposal: Proposal, _ session: SessionID) throws(Failure) -> Outcome {
        guard var record: SessionRecord = try value(RowKey.session(session)) else { throw .refused(.noSession) }
        let sequence = proposal.sequence
        guard sequence >= record.acknowledgedBelow, proposal.acknowledgedBelow <= sequence, sequence < .max else {
            throw .refused(.invalid)
        }
        let acknowledged = max(record.acknowledgedBelow, proposal.acknowledgedBelow)
        guard sequence - acknowledged < Limits.sequenceWindow else { throw .refused(.invalid) }
        #if CANARIES
            if Canary.appliesRetriesTwice.isActive { record.highest = min(record.highest, sequence > 0 ? sequence - 1 : 0) }
        #endif
        if sequence <= record.highest, let outcome: Outcome = try value(RowKey.outcome(session, sequence)) {
            isRemembered = true
            return outcome
        }

        var performer: SessionRecord? = record
        let outcome = try perform(proposal.command, by: &performer)
        record = performer ?? record
        // A closed session needs no memory of how it was closed.
        if proposal.command == .closeSession(session) { return outcome }
        forget(session, record.acknowledgedBelow, below: min(acknowledged, record.highest + 1))
        record.acknowledgedBelow = acknowledged
        record.highest = max(record.highest, sequence)
        put(RowKey.outcome(session, sequence), outcome.encoded)
        put(RowKey.session(session), record.encoded)
        return outcome
    }

    /// Deletes stored outcomes. There are at most a window of them.
    private func forget(_ session: SessionID, _ from: UInt64, below: UInt64) {
        var sequence = from
        while sequence < below {
            delete(RowKey.outcome(session, sequence))
            sequence += 1
        }
    }

    /// Carries out a command; where it fails nothing of it is left.
    private func perform(_ command: Command, by session: inout SessionRecord?) throws(Failure) -> Outcome {
        let before = session
        do throws(Failure) {
            return try dispatch(command, by: &session)
        } catch {
            rollback()
            session = before
            guard case .refused(let reason) = error else { throw error }
            return .failed(reason)
        }
    }

    private func dispatch(_ command: Command, by session: inout SessionRecord?) throws(Failure) -> Outcome {
        switch command {
        case .createNumbered(let inode, let parent, let name, let kind, let mode, let umask, let uid, let gid, let target):
            try create(
                use(inode, for: kind, by: &session), parent: parent, name: name, kind: kind, mode: mode, umask: umask, uid: uid, gid: gid, device: 0,
                target: target)
        case .reserveInodes(let count): try reserveInodes(count, for: &session)
        case .create(let parent, let name, let kind, let mode, let umask, let uid, let gid, let device, let target):
            try create(parent: parent, name: name, kind: kind, mode: mode, umask: umask, uid: uid, gid: gid, device: device, target: target)
        case .createTemporary(let parent, let mode, let umask, let uid, let gid):
            try createTemporary(parent: parent, mode: mode, umask: umask, uid: uid, gid: gid)
        case .link(let inode, let parent, let name): try link(inode: inode, parent: parent, name: name)
        case .unlink(let parent, let name, let keep): try unlink(parent: parent, name: name, keep: keep)
        case .removeDirectory(let parent, let name, let keep): try removeDirectory(parent: parent, name: name, keep: keep)
        case .rename(let from, let name, let to, let newName, let mode, let keep):
            try rename(from: from, name: name, to: to, newName: newName, mode: mode, keep: keep)
        case .update(let inode, let attributes, let edits, let republished):
            try update(inode: inode, attributes: attributes, edits: edits, republished: republished)
        case .setXattr(let inode, let name, let value, let mode, let dropsSetGID):
            try setXattr(inode: inode, name: name, value: value, mode: mode, dropsSetGID: dropsSetGID)
        case .removeXattr(let inode, let name): try removeXattr(inode: inode, name: name)
        case .reap(let inodes): try reap(inodes)
        case .openSession(let session, let name): try openSession(session, name: name)
        case .closeSession(let session): try closeSession(session)
        case .collect(let keys): try collect(keys)
        case .collected(let keys): try collected(keys)
        case .setRecord(let key, let expectedVersion, let value): try setRecord(key, expectedVersion: expectedVersion, value: value)
        }
    }

    /// A number that the session has reserved, for the only inode that will have it.
    private func use(_ inode: InodeID, for kind: FileKind, by session: inout SessionRecord?) throws(Failure) -> InodeID {
        guard session?.use(inode) ?? false, kind == .file || kind == .directory || kind == .symlink else { throw .refused(.invalid) }
        return inode
    }

    private func reserveInodes(_ count: UInt32, for session: inout SessionRecord?) throws(Failure) -> Outcome {
        guard session != nil else { throw .refused(.invalid) }
        let numbers = try reserveInodes(count)
        session?.reserve(numbers)
        return .reserved(numbers)
    }

    /// Opening a session that is open under the same name is no error: the first attempt's answer may have been lost.
    private func openSession(_ session: SessionID, name: String) throws(Failure) -> Outcome {
        guard session.rawValue != 0, name.utf8.count <= Limits.sessionNameBytes else { throw .refused(.invalid) }
        if let present: SessionRecord = try value(RowKey.session(session)) {
            guard present.name == name else { throw .refused(.exists) }
            return .done(attributes: nil, parents: [])
        }
        guard state.sessions < Limits.sessions else { throw .refused(.notPermitted) }
        state.sessions += 1
        put(RowKey.session(session), SessionRecord(name: name).encoded)
        return .done(attributes: nil, parents: [])
    }

    private func closeSession(_ session: SessionID) throws(Failure) -> Outcome {
        guard let record: SessionRecord = try value(RowKey.session(session)) else { throw .refused(.noSession) }
        forget(session, record.acknowledgedBelow, below: record.highest + 1)
        delete(RowKey.session(session))
        state.sessions -= min(state.sessions, 1)
        return .done(attributes: nil, parents: [])
    }

    private func setRecord(_ key: String, expectedVersion: UInt64, value: [UInt8]?) throws(Failure) -> Outcome {
        guard !key.isEmpty, key.utf8.count <= Limits.recordKeyBytes, (value?.count ?? 0) <= Limits.recordBytes else {
            throw .refused(.invalid)
        }
        let present: ClusterRecord? = try self.value(RowKey.record(key))
        guard present?.version ?? 0 == expectedVersion else { throw .refused(.conflict(present?.version ?? 0)) }
        if key == Namespace.collectionDelayRecord { state.collectionDelay = try collectionDelay(value) }
        guard let value else {
            if present != nil {
                delete(RowKey.record(key))
                state.records -= min(state.records, 1)
            }
            return .recordSet(version: 0)
        }
        if present == nil {
            guard state.records < Limits.records else { throw .refused(.invalid) }
            state.records += 1
        }
        state.recordVersion += 1
        put(RowKey.record(key), ClusterRecord(version: state.recordVersion, value: value).encoded)
        return .recordSet(version: state.recordVersion)
    }

    /// Nanoseconds from the record's decimal seconds, 0 to a year.
    private func collectionDelay(_ value: [UInt8]?) throws(Failure) -> Timestamp {
        guard let value else { return StateRecord().collectionDelay }
        guard let seconds = Int64(String(decoding: value, as: UTF8.self)), (0...31_536_000).contains(seconds) else {
            throw .refused(.invalid)
        }
        return seconds * 1_000_000_000
    }
}
