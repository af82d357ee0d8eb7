import Bytes
import Digest
package import Model
import Ring
package import Runtime
package import Telemetry
package import Transport
package import Wire

/// The blocks of one daemon: answers the block requests of others over the local store, coordinates puts, and mends missing and bad copies.
@LoopActor
package final class BlockService: Sendable {
    /// The requests that `handle` answers.
    package static let kinds: [RequestKind] = [
        .blockPut, .blockReplicate, .blockGet, .blockProbe, .blockDelete, .blockList, .blockCheck, .blockPullFrom, .blockLocate,
    ]

    /// Bytes of puts this daemon coordinates, up to the moment when the last replica has answered. So a replica that hangs or lags holds at
    /// most so much memory, and then slows the puts down instead.
    package static let bytesInFlightMax = 64 << 20
    /// How long a replica may take to store or send one block, in nanoseconds.
    static let replicaTimeout = 10 * Nanoseconds.second
    /// A copy that a reader missed may only be late; it is fetched if it is still not there after this.
    private static let missingDelay = 10 * Nanoseconds.second
    package let node: NodeID
    package let resync: ResyncQueue

    let local: any LocalBlocks
    let layouts: LayoutTable
    let replicas: ReplicaClient
    let log: Log
    private let gate = ByteGate(limit: BlockService.bytesInFlightMax)
    private var isStopped = false

    package init(
        node: NodeID, local: any LocalBlocks, layouts: LayoutTable, replicas: ReplicaClient, resync: ResyncQueue, log: Log
    ) {
        self.node = node
        self.local = local
        self.layouts = layouts
        self.replicas = replicas
        self.resync = resync
        self.log = log
    }

    /// Begins mending. Requests may be handled before.
    package func start() {
        replicas.health.onReturn { [resync, node] returned in
            resync.retry(returned)
            // It may have what is missing here; and if it was this daemon that was cut off, everything that failed meanwhile says nothing.
            resync.retry(node)
        }
        resync.start(isDown: { [replicas] in replicas.health.rank(of: $0) == .down }) { [weak self] in await self?.mend($0) ?? .failed("stopping") }
    }

    /// Refuses requests from now on, and begins no more mending.
    package func stop() {
        isStopped = true
        resync.stop()
    }

    /// Answers a request of one of `kinds`. That the sender may send it was checked before.
    /// - Parameter role: of the sender.
    package func handle(_ kind: RequestKind, _ message: Message, from role: Role = .mount) async throws(TransportError) -> Message {
        if isStopped { throw TransportError(.unavailable, "the daemon is stopping") }
        switch kind {
        case .blockPut:
            return try await put(try decode(message), try content(message))
        case .blockReplicate:
            let request: BlockReplicateRequest = try decode(message)
            let content = try content(message)
            try await serve { () throws(BlockFailure) in try await self.local.put(request.key, content) }
            return Message()
        case .blockGet:
            let request: BlockGetRequest = try decode(message)
            return Message(payload: try await serve { () throws(BlockFailure) in try await self.get(request, isPeer: role == .node) })
        case .blockProbe:
            let request: BlockKeysRequest = try decode(message)
            return Message(body: try await serve { () throws(BlockFailure) in try await self.probe(request) }.encoded)
        case .blockDelete:
            let request: BlockKeysRequest = try decode(message)
            try await serve { () throws(BlockFailure) in try await self.local.delete(request.keys) }
            return Message()
        case .blockList:
            let request: BlockListRequest = try decode(message)
            let blocks = try await serve { () throws(BlockFailure) in
                try await self.local.list(after: request.after, limit: request.limit)
            }
            return Message(body: BlockListReply(blocks: blocks).encoded)
        case .blockCheck:
            let request: BlockKeysRequest = try decode(message)
            guard request.keys.count <= BlockKeysRequest.checkedKeysMax else {
                throw TransportError(.malformed, "\(request.keys.count) blocks to check are more than \(BlockKeysRequest.checkedKeysMax)")
            }
            return Message(body: try await serve { () throws(BlockFailure) in try await self.check(request) }.encoded)
        case .blockPullFrom:
            let request: BlockPullRequest = try decode(message)
            switch await pull(request.key, from: request.sources) {
            case .done: return Message()
            case .absent: throw Self.transportError(BlockFailure(.missing, "nobody has a good copy of block \(request.key)"))
            case .unavailable(let cause): throw TransportError(.unavailable, cause)
            case .failed(let failure): throw Self.transportError(failure)
            }
        case .blockLocate:
            let request: BlockKeysRequest = try decode(message)
            guard request.keys.count == 1 else { throw TransportError(.malformed, "one block is located at a time") }
            let place = try await serve { () throws(BlockFailure) in try await self.local.place(of: request.keys[0]) }
            return Message(body: (place ?? BlockPlaceReply(path: "", offset: 0, length: 0)).encoded)
        default:
            throw TransportError(.malformed, "\(kind) is not a request about blocks")
        }
    }

    // MARK: Requests

    /// Coordinates a put. The local copy and those of the other replicas are written at the same time, from the one buffer that
    /// the content arrived in.
    private func put(_ request: BlockPutRequest, _ content: Slice) async throws(TransportError) -> Message {
        let ring = layouts.current
        guard request.layoutVersion <= ring.layout.version else {
            layouts.noteVersion(request.layoutVersion)
            throw TransportError(.unavailable, "layout \(request.layoutVersion) is not known here yet, only \(ring.layout.version)")
        }
        let key = request.key
        let targets = ring.successors(of: key)
        guard !targets.isEmpty else { throw TransportError(.unavailable, "the layout has no members") }
        await gate.acquire(content.count)
        let quorumPut = QuorumPut(
            replicas: targets, down: targets.filter { $0 != node && replicas.health.rank(of: $0) == .down },
            quorum: ring.layout.writeQuorum
        ) { [node, local, replicas] target in
            if target == node {
                do throws(BlockFailure) { return .success(try await local.put(key, content)) } catch {
                    return .failure(ReplicaError(.failed(error.code), "\(node): \(error.cause)"))
                }
            }
            do throws(ReplicaError) {
                return .success(try await replicas.replicate(key, content, on: target, timeout: Self.replicaTimeout))
            } catch {
                return .failure(error)
            }
        } onMissed: { [resync] target in
            resync.enqueue(ResyncTask(node: target, key: key), delay: Nanoseconds.second)
        } onFinished: { [gate] in
            gate.release(content.count)
        }
        switch await quorumPut.run() {
        case .stored:
            return Message(body: BlockPutReply(layoutVersion: ring.layout.version).encoded)
        case .noSpace(let cause):
            throw Self.transportError(BlockFailure(.noSpace, cause))
        case .mismatch(let cause):
            throw Self.transportError(BlockFailure(.mismatch, cause))
        case .unavailable(let cause):
            throw TransportError(.unavailable, "no write quorum: \(cause)")
        }
    }

    /// Serves a read. A copy that turns out bad or missing where it should be is put on the list of things to mend; a missing one not because of a daemon
    /// that looks for its own copy: of a block that nobody has, daemons would ask each other for ever.
    private func get(_ request: BlockGetRequest, isPeer: Bool) async throws(BlockFailure) -> Slice {
        let key = request.key
        do throws(BlockFailure) {
            if request.recheck, try await local.check(key) == .corrupt {
                try await local.quarantine(key)
                throw BlockFailure(.corrupt, "the copy of block \(key) is bad")
            }
            let range = request.count == 0 ? nil : Int(request.offset)..<Int(request.offset) + Int(request.count)
            return try await local.get(key, range: range)
        } catch {
            switch error.code {
            case .corrupt:
                log.warning("bad copy taken out of use; fetching another", ["block": key.description, "cause": error.cause])
                resync.enqueue(ResyncTask(node: node, key: key))
            case .missing where !isPeer && layouts.current.isSuccessor(node, of: key):
                resync.enqueue(ResyncTask(node: node, key: key), delay: Self.missingDelay)
            default:
                break
            }
            throw error
        }
    }

    private func probe(_ request: BlockKeysRequest) async throws(BlockFailure) -> BlockProbeReply {
        var lengths: [UInt32] = []
        lengths.reserveCapacity(request.keys.count)
        for key in request.keys { lengths.append(UInt32(clamping: try await local.length(of: key) ?? 0)) }
        return BlockProbeReply(lengths: lengths)
    }

    /// Begins no repair: that is for those who asked to decide.
    private func check(_ request: BlockKeysRequest) async throws(BlockFailure) -> BlockCheckReply {
        var conditions: [BlockCondition] = []
        for key in request.keys { conditions.append(try await local.check(key)) }
        return BlockCheckReply(conditions: conditions)
    }

    // MARK: Encoding

    private func serve<Value>(_ body: () async throws(BlockFailure) -> Value) async throws(TransportError) -> Value {
        do throws(BlockFailure) { return try await body() } catch { throw Self.transportError(error) }
    }

    private static func transportError(_ failure: BlockFailure) -> TransportError {
        TransportError(.failed, failure.cause, detail: failure.encoded)
    }

    private func decode<Request: ByteCodable>(_ message: Message) throws(TransportError) -> Request {
        do throws(DecodeError) { return try Request(decoding: message.body) } catch {
            throw TransportError(.malformed, "\(Request.self): \(error)")
        }
    }

    private func content(_ message: Message) throws(TransportError) -> Slice {
        guard let content = message.payload, content.count >= 1, content.count <= BlockLimits.blockSizeMax else {
            throw TransportError(.malformed, "a block is 1 to \(BlockLimits.blockSizeMax) bytes, not \(message.payload?.count ?? 0)")
        }
        return content
    }
}
