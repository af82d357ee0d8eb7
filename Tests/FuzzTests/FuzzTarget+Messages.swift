@testable import Blocks
import Bytes
import Consensus
import Daemon
import Digest
@testable import Metadata
import Model
import Namespace
import OrderedStore

/// Keys for seeds.
let someKey = SHA256.key(of: [1])
let otherKey = SHA256.key(of: [2])

private let someLock = FileLock(LockOwner(.posix, 7), process: 1234, LockRange(10, 19) ?? .all, .exclusive)

extension FuzzTarget {
    /// What the requests and replies of the metadata service carry, but for commands and queries.
    static let metadataMessages = FuzzTarget(
        name: "metadata-messages",
        decoders: [
            .codable(RequestHeader.self, RequestHeader(session: SessionID(rawValue: 5), term: 3, released: [.root, InodeID(rawValue: 9)])),
            .codable(SessionReply.self, SessionReply(session: SessionID(rawValue: 5), term: 3, timeToLive: 15_000_000_000)),
            .codable(Claim.self, Claim(exclusive: [.root], open: [InodeID(rawValue: 3), InodeID(rawValue: 4)], locks: [ClaimedLock(inode: .root, lock: someLock)], last: true)),
            .codable(
                LockCall.self, .set(number: 3, acknowledgedBelow: 2, inode: .root, lock: someLock, waits: true),
                .cancel(number: 4, acknowledgedBelow: 2, inode: .root, target: 3), .test(inode: .root, lock: someLock)),
            .codable(LockAnswer.self, .granted, .conflict(someLock), .waits, .deadlock, .exhausted, .cancelled),
            .codable(LockGrants.self, LockGrants(session: SessionID(rawValue: 5), numbers: [3, 4])),
            .codable(Grants.self, Grants(number: 7, shared: [.root], exclusive: [InodeID(rawValue: 2)])),
            .codable(RecallRequest.self, RecallRequest(session: SessionID(rawValue: 5), inode: .root, keepShared: true, number: 1)),
            .codable(
                ScanPage.self,
                ScanPage(handle: 3, appliedIndex: 9, rows: [ScanPage.Row(key: [1, 2], value: [3]), ScanPage.Row(key: [4], value: [])])),
            .codable(
                MetadataStatus.self,
                MetadataStatus(
                    node: NodeID(rawValue: 1), position: .leader, term: 4, leader: NodeID(rawValue: 1), committed: 9, applied: 9, durable: 9,
                    logBytes: 100, logEntries: 9, sessions: 1, leases: 2, locks: 3, lockWaits: 1,
                    members: [MetadataStatus.Member(node: NodeID(rawValue: 2), isVoter: true, match: 9, silence: .max)])),
            .codable(Refusal.self, .notLeader(NodeID(rawValue: 2)), .claim(term: 3), .noSession, .busy),
            .codable(SnapshotChunk.self, SnapshotChunk(transfer: 1, number: 2, isLast: true, term: 3, mark: Consensus.SnapshotMark.sample)),
            Decoder("RowPage", seeds: [RowPages.sample]) { bytes throws(Violation) in
                guard let batch = try? RowPage.batch(bytes) else { return }
                var page = RowPage()
                for case .put(let key, let value) in batch.operations { page.rows.append(ScanPage.Row(key: key, value: value)) }
                try require(page.encodedRows.elementsEqual(bytes), "a page of rows has two encodings")
            },
            Decoder("PeerQueue", seeds: [RaftMessages.batch]) { bytes throws(Violation) in
                guard let messages = try? PeerQueue.decode(Array(bytes)) else { return }
                for message in messages { try Decoder.checkStable(message) }
            },
            .codable(
                LogItem.self, .hardState(HardState(term: 3, vote: NodeID(rawValue: 1))),
                .entry(Entry(term: 3, index: 4, payload: .data([1, 2]))), .mark(.sample), .installing(.sample)),
        ])

    /// What the requests and replies about blocks and between daemons carry, and the rows of the resync queue.
    static let blockMessages = FuzzTarget(
        name: "block-messages",
        decoders: [
            .codable(BlockPutRequest.self, BlockPutRequest(key: someKey, layoutVersion: 7)),
            .codable(BlockPutReply.self, BlockPutReply(layoutVersion: 7)),
            .codable(BlockReplicateRequest.self, BlockReplicateRequest(key: someKey)),
            .codable(BlockGetRequest.self, BlockGetRequest(key: someKey), BlockGetRequest(key: someKey, offset: 4096, count: 100, recheck: true)),
            .codable(BlockKeysRequest.self, BlockKeysRequest(keys: [someKey, otherKey])),
            .codable(BlockProbeReply.self, BlockProbeReply(lengths: [0, 1, .max])),
            .codable(BlockListRequest.self, BlockListRequest(after: nil, limit: 1), BlockListRequest(after: someKey)),
            .codable(BlockListReply.self, BlockListReply(blocks: [StoredBlock(key: someKey, length: 5, isBad: true)])),
            .codable(BlockCheckReply.self, BlockCheckReply(conditions: [.good, .missing, .corrupt])),
            .codable(BlockPullRequest.self, BlockPullRequest(key: someKey, sources: [NodeID(rawValue: 1)])),
            .codable(BlockPlaceReply.self, BlockPlaceReply(path: "/data/blocks/0000000000000001.segment", offset: 4096, length: 100)),
            .codable(ProbeRequest.self, ProbeRequest(target: nil), ProbeRequest(target: NodeID(rawValue: 3))),
            .codable(ProbeReply.self, ProbeReply(isAlive: true, layoutVersion: 2)),
            .codable(BlockFailure.self, BlockFailure(.corrupt, "bad copy")),
            .codable(JoinRequest.self, JoinRequest(secret: [1, 2], node: NodeID(rawValue: 4), nodeRequest: [3], mountRequest: [4, 5])),
            .codable(
                JoinReply.self, JoinReply(nodeCertificate: [1], mountCertificate: [2, 3], authorityCertificate: [4], layout: [5, 6])),
            .codable(NodeStatus.self, .sample),
            .codable(ResyncRow.self, ResyncRow(due: 5, since: 3), .sample),
            Decoder("ResyncRow keys", seeds: [ResyncRow.dueKey(.sample, 5), ResyncRow.tableKey(.sample)]) { bytes throws(Violation) in
                if let task = ResyncRow.parseTable(bytes) {
                    try require(ResyncRow.tableKey(task).dropFirst().elementsEqual(bytes.dropFirst()), "a key of the resync table has two forms")
                }
                if let (due, task) = ResyncRow.parse(bytes) {
                    try require(ResyncRow.dueKey(task, due).dropFirst().elementsEqual(bytes.dropFirst()), "a key of the resync queue has two forms")
                }
            },
        ])
}

private enum RowPages {
    static var sample: [UInt8] {
        var page = RowPage()
        page.rows = [ScanPage.Row(key: [1, 2, 3], value: [4, 5]), ScanPage.Row(key: [6], value: [])]
        return page.encodedRows
    }
}

extension NodeStatus {
    fileprivate static var sample: NodeStatus {
        var status = NodeStatus(node: NodeID(rawValue: 1), program: "dhtfs 0.1")
        status.role = "leader"
        status.leader = NodeID(rawValue: 1)
        status.voters = [NodeID(rawValue: 1), NodeID(rawValue: 2)]
        status.members = [MemberView(node: NodeID(rawValue: 2), state: "alive", sinceSeconds: 5, roundTripMicroseconds: 100)]
        return status
    }
}

extension ResyncTask {
    fileprivate static var sample: ResyncTask { ResyncTask(node: NodeID(rawValue: 3), key: someKey) }
}

extension ResyncRow {
    fileprivate static var sample: ResyncRow {
        var row = ResyncRow(due: 9, since: 8)
        row.errors = 3
        row.lastCause = "connection refused"
        return row
    }
}

extension LogItem: Equatable {
    static func == (left: LogItem, right: LogItem) -> Bool { left.encoded == right.encoded }
}
