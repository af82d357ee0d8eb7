import Bytes
import Digest
import Model
@testable import Namespace

extension FuzzTarget {
    /// Commands, queries, their outcomes and answers, and the rows of the namespace.
    static let namespaceCoding = FuzzTarget(
        name: "namespace-coding",
        decoders: [
            Decoder("Command", seeds: SampleTree.commands.map(\.encoded)) { bytes throws(Violation) in
                if let command = try? Command(decoding: bytes) { try Decoder.checkStable(command) }
            },
            .codable(
                Proposal.self, Proposal(session: SessionID(rawValue: 1), sequence: 4, acknowledgedBelow: 2, time: 99, shown: 98, command: .reap([.root])),
                Proposal(session: nil, sequence: 0, acknowledgedBelow: 0, time: 1, command: .collect([someKey]))),
            Decoder("Query", seeds: SampleTree.queries.map(\.encoded)) { bytes throws(Violation) in
                if let query = try? Query(decoding: bytes) { try Decoder.checkStable(query) }
            },
            .codable(
                Answer.self, .attributes(.sample), .found(.sample, content: .inline([1, 2])),
                .entries([DirectoryEntry(name: SampleTree.name("a"), inode: .root, kind: .directory, attributes: .sample)], complete: true),
                .entries(
                    [
                        DirectoryEntry(name: SampleTree.name("b"), inode: .root, kind: .file, attributes: .sample, content: .inline([1, 2])),
                        DirectoryEntry(name: SampleTree.name("c"), inode: .root, kind: .file, attributes: .sample, content: .extents([.sample])),
                        DirectoryEntry(name: SampleTree.name("d"), inode: .root, kind: .file, attributes: nil),
                    ], complete: false),
                .content(.extents([.sample]), attributes: .sample), .bytes([1]), .names([[1], [2, 3]]),
                .statistics(inodes: 1, referencedBytes: 2, blocks: 3), .record(value: [1], version: 2), .keys(["a", "b"]),
                .path([.sample], names: [SampleTree.name("a")]), .failed(.collected([someKey]))),
            .codable(
                Outcome.self, .done(attributes: .sample, parents: [.sample]), .removed(attributes: .sample, orphaned: true, parents: []),
                .renamed(moved: .sample, other: nil, orphaned: false, parents: [.sample, .sample]), .recordSet(version: 4),
                .reserved(7..<10), .failed(.conflict(3)), .failed(.loop)),
            .codable(InodeRecord.self, InodeRecord(.sample)),
            .codable(EntryRecord.self, EntryRecord(inode: .root, kind: .directory)),
            .codable(SessionRecord.self, SessionRecord(name: "host")),
            .codable(ReferenceRecord.self, ReferenceRecord(length: 4096)),
            .codable(ClusterRecord.self, ClusterRecord(version: 3, value: [1, 2])),
            .codable(StateRecord.self, StateRecord()),
            Decoder("ExtentRow", seeds: [ExtentRow([.sample]).encoded(region: 0)]) { bytes throws(Violation) in
                for region: UInt32 in [0, 5, .max] {
                    guard let row = try? ExtentRow(decoding: Array(bytes), region: region) else { continue }
                    try require(row.encoded(region: region).elementsEqual(bytes), "a row of extents has two encodings")
                }
            },
            Decoder("StateChunk", seeds: [SampleTree.chunk]) { bytes throws(Violation) in
                guard let chunk = try? StateChunk(decoding: bytes) else { return }
                try require(chunk.encoded.elementsEqual(bytes), "a chunk of state has two encodings")
            },
        ])

    /// The state machine under commands that any mount may send, and on rows that rotted.
    static let namespaceState = FuzzTarget(
        name: "namespace-state",
        decoders: [
            .sequence("commands", seeds: SampleTree.scripts, mutations: 60) { (steps: [SampleTree.Step]) throws(Violation) in
                try SampleTree.run(steps)
            },
            Decoder("rows", seeds: [SampleTree.chunk], mutations: 60) { bytes throws(Violation) in try SampleTree.survive(Array(bytes)) },
            Decoder("one row", seeds: SampleTree.rowSeeds, mutations: 60) { bytes throws(Violation) in
                // The first byte says which row of a sound state gets the rest as its value.
                guard let number = bytes.first else { return }
                var chunk = SampleTree.rows
                chunk.rows[Int(number) % chunk.rows.count].value = Array(bytes[1...])
                try SampleTree.survive(chunk.encoded)
            },
        ])
}

extension Attributes {
    static let sample = Attributes(
        inode: InodeID(rawValue: 5), kind: .file, mode: 0o644, uid: 1, gid: 2, links: 1, size: 100, allocated: 512, device: 0, accessed: 1,
        modified: 2, changed: 3, created: 4, version: 5, entries: 0, parent: InodeID(rawValue: 0))
}

extension Extent {
    static let sample = Extent(offset: 4096, length: 100, key: someKey, blockLength: 4096, blockOffset: 10)
}
