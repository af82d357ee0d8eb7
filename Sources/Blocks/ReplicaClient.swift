package import Bytes
package import Digest
package import Model
package import Runtime
package import Transport
import Wire

/// The block requests to one daemon, typed, with content verified on arrival. Notes in `health` how daemons answer.
@LoopActor
package final class ReplicaClient: Sendable {
    package let health: PeerHealth
    private let requests: any RequestClient
    private let clock: any Clock
    private let workers: any Workers
    private let segments: SegmentReader
    /// Whether a daemon runs on this machine and its files can be read by this process; nobody's, unless set.
    package var sharesDisk: (@LoopActor (NodeID) -> Bool)?
    /// From this size on a block is read from the file: below, asking for the place costs as much as the bytes.
    private static let segmentReadMin = 256 << 10
    /// A daemon that does not tell a place in this time, in nanoseconds, is asked for the block like any other.
    private static let locateTimeout = 250 * Nanoseconds.millisecond

    package init(requests: any RequestClient, health: PeerHealth, environment: Environment) {
        self.requests = requests
        self.health = health
        clock = environment.clock
        workers = environment.workers
        segments = SegmentReader(disk: environment.disk)
    }

    /// Has `node` store a block on all its replicas.
    func put(
        _ key: BlockKey, _ content: Slice, layoutVersion: UInt64, on node: NodeID, timeout: UInt64
    ) async throws(ReplicaError) -> BlockPutReply {
        let body = BlockPutRequest(key: key, layoutVersion: layoutVersion).encoded
        let reply = try await call(node, .blockPut, Message(body: body, payload: content), timeout: timeout)
        return try decode(reply, from: node)
    }

    /// Has `node` store a copy.
    package func replicate(_ key: BlockKey, _ content: Slice, on node: NodeID, timeout: UInt64) async throws(ReplicaError) {
        let body = BlockReplicateRequest(key: key).encoded
        _ = try await call(node, .blockReplicate, Message(body: body, payload: content), timeout: timeout)
    }

    /// Reads the whole block of `length` bytes (nil: of any length up to `blockSizeMax`) and checks it against its key. Bytes that do not
    /// match are refused as `.failed(.corrupt)`, and `node` is told to look at its copy.
    /// - Parameter likely: the length as far as the caller knows, which decides on the way the bytes take, not on what is right.
    package func get(_ key: BlockKey, length: Int?, likely: Int = 0, from node: NodeID, timeout: UInt64) async throws(ReplicaError) -> Slice {
        if max(likely, length ?? 0) >= Self.segmentReadMin, sharesDisk?(node) == true, let content = await readSegment(key, of: node) {
            return content
        }
        let content = try await fetch(BlockGetRequest(key: key), from: node, timeout: timeout)
        #if CANARIES
            if Canary.ignoresMismatch.isActive { return content }
        #endif
        let isRightLength = length.map { $0 == content.count } ?? (content.count <= BlockLimits.blockSizeMax)
        guard isRightLength, await workers.run({ SHA256.key(of: content) }) == key else {
            // Nobody waits for the answer: what counts is that the daemon reads its copy and takes it out of use.
            Task { @LoopActor in
                do throws(ReplicaError) {
                    _ = try await self.fetch(BlockGetRequest(key: key, recheck: true), from: node, timeout: timeout)
                } catch {
                    // It found the copy bad, or does not answer; either way the next reader is served by another.
                }
            }
            throw ReplicaError(.failed(.corrupt), "\(node) sent bytes that are not block \(key)")
        }
        return content
    }

    /// Reads a range, checked by the replica against the checksums of its pages.
    func get(_ key: BlockKey, range: Range<Int>, from node: NodeID, timeout: UInt64) async throws(ReplicaError) -> Slice {
        let request = BlockGetRequest(key: key, offset: UInt32(range.lowerBound), count: UInt32(range.count))
        let content = try await fetch(request, from: node, timeout: timeout)
        guard content.count == range.count else {
            throw ReplicaError(.failed(.corrupt), "\(node) sent \(content.count) bytes of block \(key) instead of \(range.count)")
        }
        return content
    }

    /// The lengths of the blocks that `node` has; 0 for those it has not.
    /// - Precondition: at most `BlockKeysRequest.keysMax` keys.
    package func probe(_ keys: [BlockKey], on node: NodeID, timeout: UInt64) async throws(ReplicaError) -> [UInt32] {
        precondition(keys.count <= BlockKeysRequest.keysMax)
        let reply = try await call(node, .blockProbe, Message(body: BlockKeysRequest(keys: keys).encoded), timeout: timeout)
        let lengths = try decode(reply, from: node, as: BlockProbeReply.self).lengths
        guard lengths.count == keys.count else { throw ReplicaError(.refused, "\(node) answered for another number of blocks") }
        return lengths
    }

    /// Has `node` forget blocks.
    /// - Precondition: at most `BlockKeysRequest.keysMax` keys.
    package func delete(_ keys: [BlockKey], on node: NodeID, timeout: UInt64) async throws(ReplicaError) {
        precondition(keys.count <= BlockKeysRequest.keysMax)
        _ = try await call(node, .blockDelete, Message(body: BlockKeysRequest(keys: keys).encoded), timeout: timeout)
    }

    /// One page of the blocks that `node` has, ascending.
    package func list(after: BlockKey?, limit: Int, on node: NodeID, timeout: UInt64) async throws(ReplicaError) -> [StoredBlock] {
        let reply = try await call(
            node, .blockList, Message(body: BlockListRequest(after: after, limit: limit).encoded), timeout: timeout)
        let blocks = try decode(reply, from: node, as: BlockListReply.self).blocks
        var last = after
        for block in blocks {
            // A page that does not advance would make the caller ask for ever.
            if let last, block.key <= last { throw ReplicaError(.refused, "\(node) lists blocks out of order") }
            last = block.key
        }
        return blocks
    }

    /// Has `node` read blocks and check them against their keys.
    /// - Precondition: at most `BlockKeysRequest.checkedKeysMax` keys.
    package func check(_ keys: [BlockKey], on node: NodeID, timeout: UInt64) async throws(ReplicaError) -> [BlockCondition] {
        precondition(keys.count <= BlockKeysRequest.checkedKeysMax)
        let reply = try await call(node, .blockCheck, Message(body: BlockKeysRequest(keys: keys).encoded), timeout: timeout)
        let conditions = try decode(reply, from: node, as: BlockCheckReply.self).conditions
        guard conditions.count == keys.count else { throw ReplicaError(.refused, "\(node) answered for another number of blocks") }
        return conditions
    }

    /// Has `node` get itself a good copy.
    /// - Parameter sources: where from, in this order, at most `BlockPullRequest.sourcesMax`; empty for wherever the ring says.
    package func pull(_ key: BlockKey, to node: NodeID, from sources: [NodeID], timeout: UInt64) async throws(ReplicaError) {
        precondition(sources.count <= BlockPullRequest.sourcesMax)
        _ = try await call(node, .blockPullFrom, Message(body: BlockPullRequest(key: key, sources: sources).encoded), timeout: timeout)
    }

    /// Reads a block from the file of a daemon of this machine; nil where that does not give the right bytes.
    private func readSegment(_ key: BlockKey, of node: NodeID) async -> Slice? {
        do throws(ReplicaError) {
            let reply = try await call(node, .blockLocate, Message(body: BlockKeysRequest(keys: [key]).encoded), timeout: Self.locateTimeout)
            let place = try decode(reply, from: node, as: BlockPlaceReply.self)
            guard let content = await segments.read(place) else { return nil }
            return await workers.run { SHA256.key(of: content) } == key ? content : nil
        } catch { return nil }
    }

    private func fetch(_ request: BlockGetRequest, from node: NodeID, timeout: UInt64) async throws(ReplicaError) -> Slice {
        let begin = clock.now
        let reply = try await call(node, .blockGet, Message(body: request.encoded), timeout: timeout)
        health.noteAnswer(of: node, latency: clock.now &- begin)
        guard let payload = reply.payload else { throw ReplicaError(.refused, "\(node) answered without content") }
        return payload
    }

    private func call(_ node: NodeID, _ kind: RequestKind, _ message: Message, timeout: UInt64) async throws(ReplicaError) -> Message {
        do throws(TransportError) {
            let reply = try await requests.call(node, kind, message, timeout: timeout)
            health.noteAnswer(of: node, latency: nil)
            return reply
        } catch {
            switch error.code {
            case .unreachable, .noAnswer:
                health.noteSilence(of: node)
                throw ReplicaError(.silent, "\(node): \(error.cause)")
            case .unavailable:
                throw ReplicaError(.busy, "\(node): \(error.cause)")
            case .denied, .malformed, .notAuthentic:
                throw ReplicaError(.refused, "\(node): \(error.cause)")
            case .failed:
                health.noteAnswer(of: node, latency: nil)
                guard let failure = Self.failure(error.detail) else { throw ReplicaError(.failed(.failed), "\(node): \(error.cause)") }
                throw ReplicaError(.failed(failure.code), "\(node): \(failure.cause)")
            }
        }
    }

    private static func failure(_ detail: [UInt8]) -> BlockFailure? {
        do throws(DecodeError) { return try BlockFailure(decoding: detail) } catch { return nil }
    }

    private func decode<Reply: ByteCodable>(
        _ message: Message, from node: NodeID, as type: Reply.Type = Reply.self
    ) throws(ReplicaError) -> Reply {
        do throws(DecodeError) { return try Reply(decoding: message.body) } catch {
            throw ReplicaError(.refused, "\(node) sent an answer that cannot be decoded: \(error)")
        }
    }
}
