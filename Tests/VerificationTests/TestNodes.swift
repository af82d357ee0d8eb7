import Blocks
import Bytes
import Digest
import Model
import Runtime
import Transport
import Wire

/// Nodes that have copies of blocks, and answer what a check asks them.
@LoopActor
final class TestNodes: RequestClient {
    nonisolated static let blockLength = 5000

    struct Pull: Hashable {
        var key: BlockKey
        var node: NodeID
    }

    /// What each node has.
    var copies: [NodeID: Set<BlockKey>] = [:]
    /// Copies with other bytes than their keys say; nobody knows before they are read.
    var rotten: [NodeID: Set<BlockKey>] = [:]
    /// Copies that their nodes know to be bad.
    var quarantined: [NodeID: Set<BlockKey>] = [:]
    /// Nodes that answer nothing, or not this.
    var down: Set<NodeID> = []
    var deaf: [NodeID: Set<RequestKind>] = [:]
    /// Called before a request is answered.
    var before: (@LoopActor (NodeID, RequestKind) throws -> Void)?
    private(set) var pulls: [Pull] = []
    private(set) var calls: [RequestKind] = []

    func store(_ keys: [BlockKey], on nodes: [NodeID]) {
        for node in nodes { copies[node, default: []].formUnion(keys) }
    }

    func call(_ node: NodeID, _ kind: RequestKind, _ message: Message, timeout: UInt64) async throws(TransportError) -> Message {
        await Task.yield()
        calls.append(kind)
        do { try before?(node, kind) } catch { throw TransportError(.failed, "\(error)") }
        guard !down.contains(node), deaf[node]?.contains(kind) != true else { throw TransportError(.unreachable, "connection refused") }
        do throws(DecodeError) { return try answer(node, kind, message.body) } catch { throw TransportError(.malformed, "\(error)") }
    }

    func channel(to node: NodeID, timeout: UInt64) async throws(TransportError) -> any Channel {
        throw TransportError(.unreachable, "there are no channels")
    }

    private func answer(_ node: NodeID, _ kind: RequestKind, _ body: [UInt8]) throws(DecodeError) -> Message {
        let mine = copies[node] ?? []
        let isBad = { (key: BlockKey) in self.quarantined[node]?.contains(key) == true }
        switch kind {
        case .blockList:
            let request = try BlockListRequest(decoding: body)
            let page = mine.filter { key in request.after.map { $0 < key } ?? true }.sorted().prefix(request.limit)
            let blocks = page.map { StoredBlock(key: $0, length: UInt32(Self.blockLength), isBad: isBad($0)) }
            return Message(body: BlockListReply(blocks: blocks).encoded)
        case .blockProbe:
            let keys = try BlockKeysRequest(decoding: body).keys
            let lengths = keys.map { mine.contains($0) && !isBad($0) ? UInt32(Self.blockLength) : 0 }
            return Message(body: BlockProbeReply(lengths: lengths).encoded)
        case .blockCheck:
            let keys = try BlockKeysRequest(decoding: body).keys
            let conditions = keys.map { key -> BlockCondition in
                guard mine.contains(key) else { return .missing }
                return isBad(key) || rotten[node]?.contains(key) == true ? .corrupt : .good
            }
            return Message(body: BlockCheckReply(conditions: conditions).encoded)
        case .blockPullFrom:
            let key = try BlockPullRequest(decoding: body).key
            pulls.append(Pull(key: key, node: node))
            copies[node, default: []].insert(key)
            rotten[node]?.remove(key)
            quarantined[node]?.remove(key)
            return Message()
        default:
            throw .invalid("kind of request")
        }
    }
}
