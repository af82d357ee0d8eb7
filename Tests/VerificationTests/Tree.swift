import Digest
import Model
import Namespace
import OrderedStore
import Testing

/// A namespace in memory with short ways to say commands; each is one log entry.
final class Tree {
    let store = MemoryStore()
    private var namespace: Namespace
    private(set) var index: UInt64
    private var time: Timestamp = 1_000

    init() throws {
        namespace = try Namespace(store: store)
        index = namespace.appliedIndex
    }

    @discardableResult
    func run(_ command: Command) throws -> Outcome {
        time += 1
        index += 1
        let proposal = Proposal(session: nil, sequence: 0, acknowledgedBelow: 0, time: time, command: command)
        return try #require(try namespace.apply([proposal], index: index, term: 1).first)
    }

    @discardableResult
    func create(_ name: String, in parent: InodeID = .root, _ kind: FileKind = .file) throws -> InodeID {
        let outcome = try run(
            .create(parent: parent, name: try #require(Name(name)), kind: kind, mode: 0o755, umask: 0, uid: 10, gid: 20, device: 0, target: []))
        guard case .done(let attributes?, _) = outcome else { throw Unexpected(outcome: outcome) }
        return attributes.inode
    }

    /// A file of whole blocks, one after the other.
    @discardableResult
    func file(_ name: String, in parent: InodeID = .root, _ blocks: [BlockKey]) throws -> InodeID {
        let inode = try create(name, in: parent)
        let length = UInt32(TestNodes.blockLength)
        let edits = blocks.enumerated().map { place, key in
            Edit.extent(Extent(offset: UInt64(place) * UInt64(length), length: length, key: key, blockLength: length, blockOffset: 0))
        }
        let outcome = try run(.update(inode: inode, attributes: AttributeChange(), edits: edits, republished: []))
        guard case .done = outcome else { throw Unexpected(outcome: outcome) }
        return inode
    }

    func unlink(_ name: String) throws {
        let outcome = try run(.unlink(parent: .root, name: try #require(Name(name)), keep: false))
        if case .failed = outcome { throw Unexpected(outcome: outcome) }
    }

    func delete(_ row: [UInt8]) {
        var batch = WriteBatch()
        batch.delete(row)
        store.write(batch)
    }

    /// Makes a row undecodable.
    func damage(_ row: [UInt8]) {
        var batch = WriteBatch()
        batch.put(row, (store.get(row) ?? []) + [1])
        store.write(batch)
    }

    /// The rows as they are now, in a store of their own.
    func copy() -> MemoryStore {
        let copy = MemoryStore()
        var batch = WriteBatch()
        store.scan(from: [], to: nil) { key, value in
            batch.put(Array(key), Array(value))
            return true
        }
        copy.write(batch)
        return copy
    }
}

struct Unexpected: Error {
    var outcome: Outcome
}

/// A key for tests; equal numbers give equal keys.
func key(_ number: UInt64) -> BlockKey {
    let word = number &* 0x9E37_79B9_7F4A_7C15
    return BlockKey(words: (word, word &* 3, word &* 5, number))
}
