import Bytes
import Digest
import Model
import Namespace
import OrderedStore
import Testing

/// A generator that gives the same numbers for a seed: splitmix64.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}

/// A namespace with short ways to say commands; each is one log entry.
final class Tree {
    let store: any OrderedStore
    private(set) var namespace: Namespace
    private(set) var index: UInt64
    var time: Timestamp = 1_000

    init(_ store: any OrderedStore = MemoryStore()) throws {
        self.store = store
        namespace = try Namespace(store: store)
        index = namespace.appliedIndex
    }

    @discardableResult
    func run(_ command: Command) throws -> Outcome {
        time += 1
        let proposal = Proposal(session: nil, sequence: 0, acknowledgedBelow: 0, time: time, command: command)
        return try #require(try run([proposal]).first)
    }

    func run(_ proposals: [Proposal]) throws -> [Outcome] {
        index += 1
        return try namespace.apply(proposals, index: index, term: 1)
    }

    @discardableResult
    func create(
        _ name: String, in parent: InodeID = .root, _ kind: FileKind = .file, mode: UInt16 = 0o644, uid: UInt32 = 10, gid: UInt32 = 20,
        target: String = ""
    ) throws -> InodeID {
        let outcome = try run(
            .create(
                parent: parent, name: try name.asName, kind: kind, mode: mode, umask: 0, uid: uid, gid: gid, device: 0, target: Array(target.utf8)))
        guard case .done(let attributes?, _) = outcome else { throw Unexpected(outcome: outcome) }
        return attributes.inode
    }

    @discardableResult
    func directory(_ name: String, in parent: InodeID = .root, mode: UInt16 = 0o755) throws -> InodeID {
        try create(name, in: parent, .directory, mode: mode)
    }

    @discardableResult
    func rename(
        _ name: String, in from: InodeID = .root, to newName: String, under to: InodeID = .root, _ mode: RenameMode = .replace,
        keep: Bool = false
    ) throws -> Outcome {
        try run(.rename(from: from, name: try name.asName, to: to, newName: try newName.asName, mode: mode, keep: keep))
    }

    @discardableResult
    func unlink(_ name: String, in parent: InodeID = .root, keep: Bool = false) throws -> Outcome {
        try run(.unlink(parent: parent, name: try name.asName, keep: keep))
    }

    @discardableResult
    func removeDirectory(_ name: String, in parent: InodeID = .root, keep: Bool = false) throws -> Outcome {
        try run(.removeDirectory(parent: parent, name: try name.asName, keep: keep))
    }

    @discardableResult
    func link(_ inode: InodeID, _ name: String, in parent: InodeID = .root) throws -> Outcome {
        try run(.link(inode: inode, parent: parent, name: try name.asName))
    }

    @discardableResult
    func edit(_ inode: InodeID, _ edits: [Edit], republished: [BlockKey] = []) throws -> Outcome {
        try run(.update(inode: inode, attributes: AttributeChange(), edits: edits, republished: republished))
    }

    func lookup(_ name: String, in parent: InodeID = .root) throws -> Attributes? {
        switch try namespace.answer(.lookup(parent: parent, name: try name.asName)) {
        case .found(let attributes, _): return attributes
        case .failed(.notFound): return nil
        case let answer: throw Unexpected(answer: answer)
        }
    }

    func attributes(_ inode: InodeID) throws -> Attributes {
        guard case .attributes(let attributes) = try namespace.answer(.attributes(inode)) else { throw Unexpected() }
        return attributes
    }

    func extents(_ inode: InodeID, offset: UInt64 = 0, length: UInt64 = .max) throws -> [Extent] {
        guard case .content(.extents(let extents), _) = try namespace.answer(.content(inode, offset: offset, length: length)) else {
            throw Unexpected()
        }
        return extents
    }

    func inline(_ inode: InodeID) throws -> [UInt8] {
        guard case .content(.inline(let bytes), _) = try namespace.answer(.content(inode, offset: 0, length: 1)) else { throw Unexpected() }
        return bytes
    }

    func reference(_ key: BlockKey) throws -> ReferenceRecord? { try Rows(store).reference(key) }

    /// Loads the namespace from the store again, as after a restart.
    func reload() throws {
        namespace = try Namespace(store: store)
        index = namespace.appliedIndex
    }

    func expectSound(_ location: SourceLocation = #_sourceLocation) throws {
        let findings = try Invariants.check(store)
        #expect(findings.isEmpty, "\(findings.map(\.description).joined(separator: "\n"))", sourceLocation: location)
    }
}

struct Unexpected: Error {
    var outcome: Outcome?
    var answer: Answer?
}

extension String {
    var asName: Name { get throws { try #require(Name(self)) } }
}

extension Outcome {
    var error: NamespaceError? {
        guard case .failed(let error) = self else { return nil }
        return error
    }

    var attributes: Attributes? {
        switch self {
        case .done(let attributes, _): attributes
        case .removed(let attributes, _, _): attributes
        case .renamed(let moved, _, _, _): moved
        case .recordSet, .reserved, .failed: nil
        }
    }
}

/// A key for tests; equal numbers give equal keys.
func key(_ number: UInt64) -> BlockKey { BlockKey(words: (number &* 0x9E37_79B9_7F4A_7C15, 0, 0, number)) }

/// An extent with the whole block of `length` bytes.
func extent(_ offset: UInt64, _ length: UInt32, _ number: UInt64) -> Edit {
    .extent(Extent(offset: offset, length: length, key: key(number), blockLength: length, blockOffset: 0))
}

/// All rows of a store, keys and values in turn.
func dump(_ store: any OrderedReader) throws -> [[UInt8]] {
    var rows: [[UInt8]] = []
    try store.scan(from: [], to: nil) { key, value in
        rows.append(Array(key))
        rows.append(Array(value))
        return true
    }
    return rows
}

private let noID: [UInt8] = [255, 255, 255, 255]
/// An access control list: rwx for the owner, r-x for user 7, nothing for the group, a mask of r-x, nothing for others.
let sampleList: [UInt8] = [2, 0, 0, 0, 1, 0, 7, 0] + noID + [2, 0, 5, 0, 7, 0, 0, 0, 4, 0, 0, 0] + noID + [16, 0, 5, 0] + noID + [32, 0, 0, 0] + noID
