package import Bytes
package import Digest
import Model
import Ring
package import Runtime
package import Telemetry

/// The ring as seen by a mount or a tool: finds replicas by computation, asks them, verifies what they send.
///
/// Puts carry their content at once, without asking first whether the block is there: a question would cost every new block a round
/// trip, and a replica that has the block already answers without writing.
@LoopActor
package final class RingBlockClient: BlockClient {
    private let layouts: LayoutTable
    private let replicas: ReplicaClient
    private let environment: Environment
    private let configuration: BlockClientConfiguration
    private let log: Log
    private let putGate: ByteGate
    private var wholeLatency = LatencyWindow()
    private var rangeLatency = LatencyWindow()
    /// Whole blocks being read, with everybody who waits for them.
    private var flights: [BlockKey: [UnsafeContinuation<Result<Slice, BlocksError>, Never>]] = [:]
    /// Learns the present layout. Asked before a block is given up that nobody has who should have it by the layout known here.
    package var refreshLayout: (@LoopActor () async -> Void)?

    package init(
        layouts: LayoutTable, replicas: ReplicaClient, environment: Environment, configuration: BlockClientConfiguration, log: Log
    ) {
        self.layouts = layouts
        self.replicas = replicas
        self.environment = environment
        self.configuration = configuration
        self.log = log
        putGate = ByteGate(limit: configuration.bytesInFlightMax)
    }

    // MARK: Put

    package func put(_ content: Slice) async throws(BlocksError) -> BlockKey {
        guard content.count >= 1, content.count <= configuration.blockSizeMax else {
            throw BlocksError(.invalid, "a block of \(content.count) bytes is not 1 to \(configuration.blockSizeMax)")
        }
        await putGate.acquire(content.count)
        defer { putGate.release(content.count) }
        let key = await environment.workers.run { SHA256.key(of: content) }
        try await store(key, content)
        return key
    }

    private func store(_ key: BlockKey, _ content: Slice) async throws(BlocksError) {
        var retry = Retry(configuration, environment)
        while true {
            let ring = layouts.current
            let version = ring.layout.version
            let order = replicas.health.byHealth(ring.successors(of: key), preferring: configuration.ownNode)
            let race = Race<BlockPutReply>(clock: environment.clock) { [replicas, configuration] node in
                do throws(ReplicaError) {
                    return .success(
                        try await replicas.put(key, content, layoutVersion: version, on: node, timeout: configuration.putTimeout))
                } catch {
                    return .failure(error)
                }
            }
            let cause: String
            let outcome = await race.run(
                order, hedgeDelay: configuration.putHedgeDelay, together: 2, isFinal: { $0.code == .failed(.noSpace) },
                // Later puts need not find out for themselves. An answer after all makes it good.
                onLate: { replicas.health.noteSilence(of: $0) })
            switch outcome {
            case .won(let reply, _):
                layouts.noteVersion(reply.layoutVersion)
                return
            case .lost(let errors):
                // A coordinator says so only if the room that is left anywhere is not enough for a quorum.
                if let full = errors.first(where: { $0.error.code == .failed(.noSpace) }) {
                    throw BlocksError(.noSpace, full.error.cause)
                }
                cause = errors.last?.error.cause ?? "the layout has no members"
            }
            guard await retry.pause() else {
                throw BlocksError(.unavailable, "block \(key) could not be stored on enough replicas: \(cause)")
            }
        }
    }

    // MARK: Get

    package func get(_ key: BlockKey, length: Int, offset: Int, count: Int) async throws(BlocksError) -> Slice {
        guard length >= 1, length <= BlockLimits.blockSizeMax, offset >= 0, count >= 1, offset <= length, count <= length - offset else {
            throw BlocksError(.invalid, "bytes \(offset) + \(count) are not in a block of \(length)")
        }
        if count <= configuration.rangeReadMax, count < length / 4, flights[key] == nil {
            let range = offset..<offset + count
            return try await read(key) { [replicas, configuration] node in
                do throws(ReplicaError) {
                    return .success(try await replicas.get(key, range: range, from: node, timeout: configuration.getTimeout))
                } catch {
                    return .failure(error)
                }
            } latency: { self.rangeLatency.percentile95 } note: { self.rangeLatency.add($0) }
        }
        let block = try await whole(key, length: length)
        guard let part = block.part(offset: offset, count: count) else {
            throw BlocksError(.invalid, "block \(key) has \(block.count) bytes, not \(length)")
        }
        return part
    }

    /// Reads a whole block once, however many ask for it meanwhile.
    private func whole(_ key: BlockKey, length: Int) async throws(BlocksError) -> Slice {
        if flights[key] != nil {
            let result = await withUnsafeContinuation { flights[key, default: []].append($0) }
            return try result.get()
        }
        flights[key] = []
        let result: Result<Slice, BlocksError>
        do throws(BlocksError) {
            // The key alone decides what is right; those who wait may have been told different lengths.
            result = .success(
                try await read(key) { [replicas, configuration] node in
                    do throws(ReplicaError) {
                        return .success(try await replicas.get(key, length: nil, likely: length, from: node, timeout: configuration.getTimeout))
                    } catch {
                        return .failure(error)
                    }
                } latency: { self.wholeLatency.percentile95 } note: { self.wholeLatency.add($0) })
        } catch {
            result = .failure(error)
        }
        for waiter in flights.removeValue(forKey: key) ?? [] { waiter.resume(returning: result) }
        return try result.get()
    }

    /// Asks everybody who may have the block, the likeliest and quickest first, until one has.
    private func read(
        _ key: BlockKey, _ attempt: @escaping Race<Slice>.Attempt, latency: () -> UInt64, note: @escaping @LoopActor (UInt64) -> Void
    ) async throws(BlocksError) -> Slice {
        var retry = Retry(configuration, environment)
        let clock = environment.clock
        let timed: Race<Slice>.Attempt = { node in
            let begin = clock.now
            let result = await attempt(node)
            if case .success = result { note(clock.now &- begin) }
            return result
        }
        while true {
            let candidates = layouts.rings.candidates(for: key)
            let health = replicas.health
            let order =
                health.bySpeed(candidates.replicas, preferring: configuration.ownNode)
                + health.bySpeed(candidates.former, preferring: configuration.ownNode)
                + health.bySpeed(candidates.others, preferring: configuration.ownNode)
            let race = Race<Slice>(clock: clock, attempt: timed)
            switch await race.run(order, hedgeDelay: latency(), together: 3) {
            case .won(let slice, _):
                return slice
            case .lost(let errors):
                if !errors.isEmpty, errors.allSatisfy(\.error.isAbsent) {
                    let version = layouts.current.layout.version
                    await refreshLayout?()
                    if layouts.current.layout.version > version { continue }
                    log.error("block lost: no replica has a good copy", ["block": key.description, "asked": String(errors.count)])
                    throw BlocksError(.lost, "no replica has a good copy of block \(key)")
                }
                guard await retry.pause() else {
                    let cause = errors.last { !$0.error.isAbsent }?.error.cause ?? "the layout has no members"
                    throw BlocksError(.unavailable, "block \(key) could not be read: \(cause)")
                }
            }
        }
    }
}
