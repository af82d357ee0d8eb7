import Blocks
import Bytes
import Digest
import Model
import Testing

@Suite struct MessageTests {
    static let key = SHA256.key(of: Array("a".utf8))
    static let other = SHA256.key(of: Array("b".utf8))

    /// Decodes to the same; no shorter or longer sequence decodes.
    func roundTrip<Value: ByteCodable & Equatable>(_ value: Value) throws {
        let bytes = value.encoded
        #expect(try Value(decoding: bytes) == value)
        for count in 0..<bytes.count { #expect(throws: DecodeError.self) { try Value(decoding: Array(bytes.prefix(count))) } }
        #expect(throws: DecodeError.self) { try Value(decoding: bytes + [0]) }
    }

    @Test func roundTrips() throws {
        try roundTrip(BlockPutRequest(key: Self.key, layoutVersion: 7))
        try roundTrip(BlockPutReply(layoutVersion: .max))
        try roundTrip(BlockReplicateRequest(key: Self.key))
        try roundTrip(BlockGetRequest(key: Self.key))
        try roundTrip(BlockGetRequest(key: Self.key, offset: 4096, count: 100, recheck: true))
        try roundTrip(BlockKeysRequest(keys: [Self.key, Self.other]))
        try roundTrip(BlockProbeReply(lengths: [0, 1, .max]))
        try roundTrip(BlockListRequest(after: nil, limit: 1))
        try roundTrip(BlockListRequest(after: Self.key))
        try roundTrip(BlockListReply(blocks: [StoredBlock(key: Self.key, length: 5, isBad: true)]))
        try roundTrip(BlockCheckReply(conditions: [.good, .missing, .corrupt]))
        try roundTrip(BlockPullRequest(key: Self.key, sources: [NodeID(rawValue: 1)]))
        try roundTrip(ProbeRequest(target: nil))
        try roundTrip(ProbeRequest(target: NodeID(rawValue: 3)))
        try roundTrip(ProbeReply(isAlive: true, layoutVersion: 2))
        try roundTrip(BlockFailure(.corrupt, "bad copy"))
    }

    @Test func outOfRangeIsRefused() throws {
        #expect(throws: DecodeError.self) { try BlockGetRequest(decoding: BlockGetRequest(key: Self.key, offset: 1, count: 0).encoded) }
        #expect(throws: DecodeError.self) { try BlockListRequest(decoding: BlockListRequest(after: nil, limit: 0).encoded) }
        #expect(throws: DecodeError.self) { try BlockListRequest(decoding: BlockListRequest(after: nil, limit: 4097).encoded) }
        let tooMany = BlockKeysRequest(keys: Array(repeating: Self.key, count: BlockKeysRequest.keysMax + 1))
        #expect(throws: DecodeError.self) { try BlockKeysRequest(decoding: tooMany.encoded) }
        #expect(throws: DecodeError.self) { try BlockFailure(decoding: [0, 0, 0, 0, 0]) }
        #expect(throws: DecodeError.self) { try BlockCheckReply(decoding: [1, 0, 0, 0, 3]) }
    }

    @Test func longCausesAreCut() throws {
        let failure = try BlockFailure(decoding: BlockFailure(.failed, String(repeating: "ä", count: 10_000)).encoded)
        #expect(failure.cause.utf8.count <= BlockFailure.causeMax && !failure.cause.isEmpty)
    }
}
