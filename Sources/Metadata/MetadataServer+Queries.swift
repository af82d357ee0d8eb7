import Runtime
import Bytes
import Model
import Namespace
import Transport

// Queries: linearizable answers together with leases on what they show.
extension MetadataServer {
    /// Body: header, query. The answer: `Grants`, answer.
    func query(_ message: Transport.Message, _ channel: any Channel) async throws(TransportError) -> Transport.Message {
        let (header, query) = try decode(message) { reader throws(DecodeError) in
            let header = try RequestHeader(from: &reader)
            return (header, try Query(from: &reader))
        }
        let session = try await admit(header, channel)
        let id = session?.id ?? LeaseTable.nobody
        let term = leadership?.term
        var ticket: UInt64 = 0
        var awaited: InodeID?
        defer {
            if let awaited { table.removeIntent(ticket, on: [awaited]) }
        }
        while true {
            try await barrier()
            guard leadership?.term == term else { throw Refusal.notLeader(leader).error }
            if let session, session.isFenced { throw Refusal.noSession.error }
            var answer = try answer(query)
            hideHeld(&answer, query, from: id)
            let shown = Self.shown(by: answer, to: query)
            if let conflict = shown.first(where: { table.isExclusiveToOther($0, than: id) }) {
                for target in table.conflicts(conflict, for: id, exclusive: false) { recall(target) }
                drainLanes()
                // Announced, so that somebody else's next exclusive lease does not come first again.
                if awaited != conflict {
                    if let awaited { table.removeIntent(ticket, on: [awaited]) }
                    if ticket == 0 { ticket = table.ticket() }
                    table.addIntent(.read, on: [conflict], for: id, ticket: ticket)
                    awaited = conflict
                }
                try await waitForChange(of: conflict)
                continue
            }
            var grants = Grants(number: session?.recalls ?? 0)
            if session != nil {
                grant(shown, to: id, &grants)
                trimLeases()
            }
            if let inode = awaited {
                table.removeIntent(ticket, on: [inode])
                awaited = nil
                changed(inode)
                drainLanes()
            }
            var writer = ByteWriter(reserving: 512)
            grants.encode(to: &writer)
            answer.encode(to: &writer)
            return Transport.Message(body: writer.bytes)
        }
    }

    /// What lies in a directory that the session holds exclusively comes exclusively too, if nobody else has anything of it: whoever changes names there
    /// needs that of every file.
    private func grant(_ shown: [InodeID], to session: SessionID, _ grants: inout Grants) {
        let isInOwn = shown.first.map { table.holdsExclusive($0, session) && !table.isRecalled($0, from: session) } ?? false
        for (index, inode) in shown.enumerated() {
            if index > 0, isInOwn, table.grantExclusive(inode, to: session) {
                grants.exclusive.append(inode)
            } else if table.grantShared(inode, to: session) {
                grants.shared.append(inode)
            }
        }
    }

    /// A listing does not take files away from who writes them: their entries come without attributes.
    private func hideHeld(_ answer: inout Answer, _ query: Query, from session: SessionID) {
        guard case .list(_, _, _, let detail) = query, detail != .nothing, case .entries(var entries, let complete) = answer else { return }
        var isChanged = false
        for index in entries.indices where table.isExclusiveToOther(entries[index].inode, than: session) {
            entries[index].attributes = nil
            entries[index].content = nil
            isChanged = true
        }
        if isChanged { answer = .entries(entries, complete: complete) }
    }

    /// The inodes whose data an answer shows.
    private static func shown(by answer: Answer, to query: Query) -> [InodeID] {
        // Nothing can be cached of what is gone.
        if case .failed(.stale) = answer { return [] }
        switch query {
        case .lookup(let parent, _):
            if case .found(let attributes, _) = answer { return [parent, attributes.inode] }
            return [parent]
        case .list(let directory, _, _, let detail):
            guard detail != .nothing, case .entries(let entries, _) = answer else { return [directory] }
            var result = [directory]
            result.reserveCapacity(entries.count + 1)
            for entry in entries where entry.attributes != nil { result.append(entry.inode) }
            return result
        case .attributes(let inode), .content(let inode, _, _), .symlink(let inode), .xattr(let inode, _), .xattrNames(let inode):
            return [inode]
        case .statistics, .record, .records, .path: return []
        }
    }
}
