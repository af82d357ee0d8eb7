import BlockStore
@testable import Blocks
import Bytes
import Consensus
import Digest
@testable import Metadata
import Model
import Namespace
import OrderedStore
import Ring
import Runtime
import TestSupport
import Transport
import Wire

extension FuzzTarget {
    /// The services of a daemon under requests that decode or not, as any peer with the role may send them.
    static let services = FuzzTarget(
        name: "services",
        decoders: [
            Decoder("metadata", seeds: Requests.metadata, mutations: 25) { bytes throws(Violation) in
                let requests = Requests.parse(bytes, kinds: Requests.metadataKinds)
                try checkOnLoop { () throws(Violation) in try await MetadataWorld.serve(requests) }
            },
            Decoder("blocks", seeds: Requests.blocks, mutations: 25) { bytes throws(Violation) in
                let requests = Requests.parse(bytes, kinds: Requests.blockKinds)
                try checkOnLoop { () throws(Violation) in try await BlockWorld.serve(requests) }
            },
        ], allocationMebibytesMax: 70)
}

/// Requests as the fuzzer writes them: the place of the kind in a list, flags, the length of the body (16 bits), the body.
private enum Requests {
    struct Request: Sendable {
        var kind: RequestKind
        /// Puts the header of the open session in front of the body.
        var hasHeader: Bool
        var body: [UInt8]
    }

    static let metadataKinds: [RequestKind] = [
        .metadataQuery, .metadataCommand, .metadataLease, .metadataSessionOpen, .metadataSessionRenew, .metadataSessionClose, .metadataScan, .raft,
        .raftSnapshot,
    ]
    static let blockKinds: [RequestKind] = [
        .blockPut, .blockReplicate, .blockGet, .blockProbe, .blockDelete, .blockList, .blockCheck, .blockPullFrom, .blockLocate,
    ]

    static func parse(_ bytes: UnsafeRawBufferPointer, kinds: [RequestKind]) -> [Request] {
        var reader = ByteReader(bytes)
        var requests: [Request] = []
        while requests.count < 12, let kind = try? reader.integer(UInt8.self), let flags = try? reader.integer(UInt8.self),
            let count = try? reader.integer(UInt16.self), let body = try? reader.take(min(Int(count), reader.remaining))
        {
            requests.append(Request(kind: kinds[Int(kind) % kinds.count], hasHeader: flags & 1 != 0, body: Array(body)))
        }
        return requests
    }

    private static func write(_ requests: [(kind: UInt8, hasHeader: Bool, body: [UInt8])]) -> [UInt8] {
        var writer = ByteWriter()
        for request in requests {
            writer.integer(request.kind)
            writer.boolean(request.hasHeader)
            writer.integer(UInt16(request.body.count))
            writer.raw(request.body)
        }
        return writer.bytes
    }

    private static func command(_ sequence: UInt64, _ command: Command) -> [UInt8] {
        var writer = ByteWriter()
        writer.integer(sequence)
        writer.integer(UInt64(1))
        command.encode(to: &writer)
        return writer.bytes
    }

    private static func optional<Value: ByteCodable>(_ value: Value?) -> [UInt8] {
        var writer = ByteWriter()
        writer.optional(value) { $1.encode(to: &$0) }
        return writer.bytes
    }

    static let metadata: [[UInt8]] = {
        let create = Command.create(parent: .root, name: SampleTree.name("f"), kind: .file, mode: 0o644, uid: 0, gid: 0, device: 0, target: [])
        let update = Command.update(inode: InodeID(rawValue: 2), attributes: AttributeChange(), edits: [.extent(.sample)], republished: [])
        let commands = [create, update] + SampleTree.commands
        return [
            write(commands.prefix(10).enumerated().map { (1, true, command(UInt64($0) + 1, $1)) }),
            write(SampleTree.queries.map { (0, true, $0.encoded) }),
            write([
                (1, true, command(1, create)), (2, true, optional(InodeID(rawValue: 2))), (2, true, optional(InodeID.root)),
                (4, true, optional(Claim(exclusive: [.root], open: [InodeID(rawValue: 2)], last: true))),
                (3, false, [1, 0, 0, 0, 0x6E]), (0, false, RequestHeader(session: SessionID(rawValue: 0), term: 0, released: []).encoded + SampleTree.queries[0].encoded),
                (5, true, []), (6, false, Array(repeating: 0, count: 24)),
            ]),
            write([
                (7, false, RaftMessages.batch), (8, false, SnapshotChunk(transfer: 1, number: 0, isLast: true, term: 3, mark: .sample).encoded),
                (0, true, SampleTree.queries[1].encoded),
            ]),
        ]
    }()

    static let blocks: [[UInt8]] = [
        write([
            (0, false, BlockPutRequest(key: SHA256.key(of: BlockWorld.content), layoutVersion: 1).encoded), (1, false, BlockReplicateRequest(key: someKey).encoded),
            (2, false, BlockGetRequest(key: SHA256.key(of: BlockWorld.content), offset: 1, count: 3, recheck: true).encoded),
            (3, false, BlockKeysRequest(keys: [someKey, SHA256.key(of: BlockWorld.content)]).encoded), (5, false, BlockListRequest(after: nil).encoded),
            (6, false, BlockKeysRequest(keys: [someKey]).encoded), (7, false, BlockPullRequest(key: someKey, sources: [NodeID(rawValue: 2)]).encoded),
            (8, false, BlockKeysRequest(keys: [SHA256.key(of: BlockWorld.content)]).encoded), (4, false, BlockKeysRequest(keys: [someKey]).encoded),
        ])
    ]
}

/// A metadata group of one server.
@LoopActor
private enum MetadataWorld {
    static func serve(_ requests: [Requests.Request]) async throws(Violation) {
        let world = MemoryWorld(seed: 1)
        let stores = OneStore()
        let nobody = Nobody()
        var options = MetadataOptions(cluster: ClusterID(rawValue: 7), node: NodeID(rawValue: 1), logDirectory: "/raft")
        options.logSegmentBytes = 64 << 10
        // Long ticks, so that few of them pass until a recall that nobody answers is over.
        options.timing = Timing(tick: Nanoseconds.second, heartbeat: 2 * Nanoseconds.second, election: 6 * Nanoseconds.second)
        options.recallDeadline = 20 * Nanoseconds.second
        let started = try? await MetadataServer.start(
            options: options, environment: world.node(1), requests: nobody, stores: stores, bootstrap: true, log: quiet, deleteBlocks: { _ in true })
        guard let server = started else { throw Violation("the server does not start") }
        defer { server.abandon() }
        var failure: String?
        server.onFailure = { failure = $0 }
        for _ in 0..<100 where !server.isServing {
            await settle(turns: 10)
            _ = await world.clock.advanceToNextTimer()
        }
        let mount = SilentChannel(Peer(role: .mount, node: nil, label: "mount"))
        let node = SilentChannel(Peer(role: .node, node: NodeID(rawValue: 2), label: "node"))
        let opened = await answer(world, server, .metadataSessionOpen, [1, 0, 0, 0, 0x6D], mount)
        guard let opened, let reply = try? SessionReply(decoding: opened.body) else { throw Violation("no session is opened") }
        let header = RequestHeader(session: reply.session, term: reply.term, released: []).encoded
        var isTrusted = false
        for request in requests {
            let fromNode = !request.kind.allowed.contains(.mount)
            // Another daemon may well depose this one; then only traps count.
            isTrusted = isTrusted || request.kind == .raft || request.kind == .raftSnapshot
            _ = await answer(world, server, request.kind, (request.hasHeader ? header : []) + request.body, fromNode ? node : mount)
        }
        guard !isTrusted else { return }
        try require(failure == nil, "requests of a client made the server fail: \(failure ?? "")")
        let root = RequestHeader(session: SessionID(rawValue: 0), term: 0, released: []).encoded + Query.attributes(.root).encoded
        let last = await answer(world, server, .metadataQuery, root, mount)
        try require(last != nil, "the server answers no more")
    }

    /// The answer to a request; nil for an error or if nothing happens for long.
    private static func answer(
        _ world: MemoryWorld, _ server: MetadataServer, _ kind: RequestKind, _ body: [UInt8], _ channel: SilentChannel
    ) async -> Transport.Message? {
        var isDone = false
        var reply: Transport.Message?
        Task { @LoopActor in
            reply = try? await server.handle(kind, Transport.Message(body: body), channel)
            isDone = true
        }
        // Longer than a recall waits for a session that does not answer.
        for _ in 0..<150 {
            for _ in 0..<20 where !isDone { await Task.yield() }
            if isDone { break }
            guard await world.clock.advanceToNextTimer() else { break }
        }
        return reply
    }
}

/// One block store and its service, in a ring of two whose other member is away.
@LoopActor
private enum BlockWorld {
    nonisolated static let content: [UInt8] = Array(repeating: 5, count: 5000)

    static func serve(_ requests: [Requests.Request]) async throws(Violation) {
        let world = MemoryWorld(seed: 1)
        let environment = world.node(1)
        let options = BlockStoreOptions(
            cluster: ClusterID(rawValue: 7), node: NodeID(rawValue: 1), segmentBytes: 64 << 10, blockBytesMax: 1 << 20, putBytesMax: 4 << 20,
            reserveBytes: 0, compactionBytesPerSecond: 0, compactsByItself: false)
        guard
            let store = try? await BlockStore.open(
                environment: environment, directory: "/blocks", index: MemoryStore(), options: options, log: quiet),
            let resync = try? ResyncQueue(store: MemoryStore(), environment: environment, log: quiet)
        else { throw Violation("the store does not open") }
        let address = NodeAddress(host: "n", port: 1, machine: "m", socketPath: "")
        let members = [1, 2].map { LayoutMember(node: NodeID(rawValue: $0), address: address, weight: 1, zone: "") }
        guard let layout = try? Layout(version: 1, replicas: 1, members: members) else { throw Violation("a layout of two") }
        let replicas = ReplicaClient(requests: Nobody(), health: PeerHealth(clock: world.clock), environment: environment)
        let service = BlockService(
            node: NodeID(rawValue: 1), local: StoreBlocks(store), layouts: LayoutTable(LayoutHistory(layout)), replicas: replicas, resync: resync, log: quiet)
        let key = SHA256.key(of: content)
        guard (try? await store.put(key, Slice(copying: content))) != nil else { throw Violation("the store takes no block") }
        var isDeleted = false
        for request in requests {
            var isDone = false
            if request.kind == .blockDelete, let keys = try? BlockKeysRequest(decoding: request.body).keys, keys.contains(key) { isDeleted = true }
            let payload = request.hasHeader ? nil : Slice(copying: content)
            Task { @LoopActor in
                _ = try? await service.handle(request.kind, Transport.Message(body: request.body, payload: payload))
                isDone = true
            }
            for _ in 0..<200 {
                for _ in 0..<20 where !isDone { await Task.yield() }
                if isDone { break }
                guard await world.clock.advanceToNextTimer() else { break }
            }
        }
        for block in (try? store.list(after: nil, limit: 100)) ?? [] {
            guard let bytes = try? await store.get(block.key, verify: .pages) else { continue }
            try require(SHA256.key(of: bytes) == block.key, "a block was stored under a key that it does not have")
        }
        let isThere = (try? await store.get(key, verify: .key)) != nil
        try require(isDeleted || isThere, "a block was lost without a request to delete it")
    }
}

/// The other end of a connection, which sends nothing and answers nothing.
@LoopActor
private final class SilentChannel: Channel {
    let peer: Peer
    var isOpen: Bool { true }

    init(_ peer: Peer) { self.peer = peer }

    func call(_ kind: RequestKind, _ message: Transport.Message, timeout: UInt64) async throws(TransportError) -> Transport.Message {
        await Task.yield()
        throw TransportError(.noAnswer, "no answer")
    }

    func onClose(_ body: @escaping @LoopActor () -> Void) {}
    func close() {}
}

/// Reaches no other daemon.
@LoopActor
private final class Nobody: RequestClient {
    func call(_ node: NodeID, _ kind: RequestKind, _ message: Transport.Message, timeout: UInt64) async throws(TransportError) -> Transport.Message {
        await Task.yield()
        throw TransportError(.unreachable, "nobody is there")
    }

    func channel(to node: NodeID, timeout: UInt64) async throws(TransportError) -> any Channel {
        throw TransportError(.unreachable, "nobody is there")
    }
}

/// State stores in memory.
@LoopActor
private final class OneStore: StateStoreProvider {
    private var current = MemoryStore()

    func open() async throws(StoreError) -> any OrderedStore { current }
    func makeFresh() async throws(StoreError) -> any OrderedStore { MemoryStore() }
    func adopt(_ store: any OrderedStore) async throws(StoreError) {
        if let store = store as? MemoryStore { current = store }
    }
}
