import Bytes
import Consensus
import Model
import Namespace
import OrderedStore
import Runtime
package import Transport
package import Wire

// What comes in from the network.
extension MetadataServer {
    /// Answers a request of one of the kinds `.raft`, `.raftSnapshot`, `.metadata…` except those that a
    /// leader sends.
    /// - Throws: `.failed` with a `Refusal` as detail where another server, or another time, is right.
    package func handle(
        _ kind: RequestKind, _ message: Transport.Message, _ channel: any Channel
    ) async throws(TransportError) -> Transport.Message {
        guard !hasFailed, !isStopped else { throw TransportError(.unavailable, "the metadata server is stopped") }
        switch kind {
        case .raft: return try raftMessages(message, channel)
        case .raftSnapshot: return try await snapshotChunk(message)
        case .metadataQuery: return try await query(message, channel)
        case .metadataCommand: return try await command(message, channel)
        case .metadataLease: return try await lease(message, channel)
        case .metadataLock: return try await lock(message, channel)
        case .metadataSessionOpen: return try await openSession(message, channel)
        case .metadataSessionRenew: return try await renewSession(message, channel)
        case .metadataSessionClose: return try await closeSession(message, channel)
        case .metadataScan: return try await scan(message)
        default: throw TransportError(.malformed, "not a request for the metadata service")
        }
    }

    private func raftMessages(_ message: Transport.Message, _ channel: any Channel) throws(TransportError) -> Transport.Message {
        guard let node = channel.peer.node else { throw TransportError(.denied, "only daemons take part in the group") }
        let messages: [Consensus.Message]
        do throws(DecodeError) { messages = try PeerQueue.decode(message.body) } catch { throw Self.malformed(error) }
        let peer = peer(node)
        peer.heard()
        for message in messages { step(.received(message, from: node)) }
        return Transport.Message()
    }

    static func malformed(_ error: DecodeError) -> TransportError { TransportError(.malformed, "a field cannot be decoded: \(error)") }

    /// Decodes a body with `fields`, which must use all of it.
    func decode<Value>(
        _ message: Transport.Message, _ fields: (inout ByteReader) throws(DecodeError) -> Value
    ) throws(TransportError) -> Value {
        let result: Result<Value, DecodeError> = message.body.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            do throws(DecodeError) {
                let value = try fields(&reader)
                try reader.finish()
                return .success(value)
            } catch {
                return .failure(error)
            }
        }
        switch result {
        case .success(let value): return value
        case .failure(let error): throw Self.malformed(error)
        }
    }

    /// Lets a request in: this server leads and serves, and the session is alive and has made its claims. Releases that came with it are done
    /// before anything else, so that they cannot undo a later grant.
    /// - Returns: nil for a client without a session.
    func admit(_ header: RequestHeader, _ channel: any Channel) async throws(TransportError) -> MetadataSession? {
        let session = try known(header, channel)
        guard leadership?.phase != .serving else { return session }
        try await waitForPhase { $0 == .serving }
        return try known(header, channel)
    }

    private func known(_ header: RequestHeader, _ channel: any Channel) throws(TransportError) -> MetadataSession? {
        guard let leadership else { throw Refusal.notLeader(leader).error }
        guard header.session != LeaseTable.nobody else { return nil }
        guard header.term == leadership.term else { throw Refusal.claim(term: leadership.term).error }
        guard let session = sessions[header.session], !session.isFenced else { throw Refusal.noSession.error }
        session.lastSeen = now
        if session.channel !== channel { session.channel = channel }
        for inode in header.released {
            table.release(inode, by: session.id, closed: true)
            changed(inode)
        }
        if !header.released.isEmpty { drainLanes() }
        return session
    }

    /// Waits until this server, as leader, is in a phase that will do.
    func waitForPhase(_ isRight: (Leadership.Phase) -> Bool) async throws(TransportError) {
        while true {
            guard let phase = leadership?.phase else { throw Refusal.notLeader(leader).error }
            if isRight(phase) { return }
            guard waitingRequests < options.waitingRequests else { throw Refusal.busy.error }
            waitingRequests += 1
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                if leadership == nil { continuation.resume() } else { leadership?.waiters.append(continuation) }
            }
            waitingRequests -= 1
        }
    }

    func phaseChanged() {
        guard let waiters = leadership?.waiters else { return }
        leadership?.waiters = []
        for waiter in waiters { waiter.resume() }
    }

    /// Asks the state.
    func answer(_ query: Query) throws(TransportError) -> Answer {
        try read { () throws(StoreError) in try namespace.answer(query) }
    }

    /// Reads the state; if it cannot be read, this server can promise nothing any more.
    func read<Value>(_ body: () throws(StoreError) -> Value) throws(TransportError) -> Value {
        do throws(StoreError) {
            return try body()
        } catch {
            fail("the metadata state cannot be read: \(error.cause)")
            throw TransportError(.unavailable, "the metadata state cannot be read")
        }
    }
}
