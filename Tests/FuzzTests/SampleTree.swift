import Bytes
import Digest
import Model
@testable import Namespace
import OrderedStore

/// A small namespace with one of everything, and what the fuzzer does to it.
enum SampleTree {
    /// One step of a script: a proposal or a question.
    enum Step: ByteCodable, Sendable {
        case propose(Proposal)
        case ask(Query)

        init(from reader: inout ByteReader) throws(DecodeError) {
            if try reader.boolean() { self = .propose(try Proposal(from: &reader)) } else { self = .ask(try Query(from: &reader)) }
        }

        func encode(to writer: inout ByteWriter) {
            switch self {
            case .propose(let proposal):
                writer.boolean(true)
                proposal.encode(to: &writer)
            case .ask(let query):
                writer.boolean(false)
                query.encode(to: &writer)
            }
        }
    }

    static func name(_ text: String) -> Name {
        guard let name = Name(text) else { preconditionFailure("\(text) is a name") }
        return name
    }

    /// For the owner, the group and others.
    private static let minimalList: [UInt8] = [2, 0, 0, 0] + [1, 4, 32].flatMap { [$0, 0, 5, 0, 255, 255, 255, 255] }

    private static func inode(_ number: UInt64) -> InodeID { InodeID(rawValue: number) }

    private static func create(_ text: String, in parent: UInt64, _ kind: FileKind, target: [UInt8] = []) -> Command {
        .create(parent: inode(parent), name: name(text), kind: kind, mode: 0o755, umask: 0, uid: 1, gid: 1, device: 0, target: target)
    }

    private static func extent(_ offset: UInt64, _ length: UInt32, _ key: BlockKey) -> Edit {
        .extent(Extent(offset: offset, length: length, key: key, blockLength: length + 8, blockOffset: 4))
    }

    /// Makes: 2 directory d, 3 directory d/e, 4 file d/f with extents, 5 file g with the same block, 6 symlink s, 7 orphan, 8 file with inline content.
    private static let making: [Command] = [
        .openSession(SessionID(rawValue: 1), name: "m"), create("d", in: 1, .directory), create("e", in: 2, .directory), create("f", in: 2, .file),
        create("g", in: 1, .file), create("s", in: 1, .symlink, target: [65]), create("o", in: 1, .file),
        .unlink(parent: .root, name: name("o"), keep: true), create("i", in: 1, .file),
        .update(
            inode: inode(4), attributes: AttributeChange(), edits: [extent(0, 1000, someKey), extent(Limits.regionBytes, 500, otherKey)],
            republished: []),
        .update(inode: inode(5), attributes: AttributeChange(), edits: [extent(0, 1000, someKey)], republished: []),
        .update(inode: inode(8), attributes: AttributeChange(), edits: [.inline([1, 2, 3])], republished: []),
        .link(inode: inode(5), parent: inode(2), name: name("g2")),
        .setXattr(inode: inode(4), name: [65], value: [1], mode: .any, dropsSetGID: false), .setRecord(key: "r", expectedVersion: 0, value: [1]),
        .update(inode: inode(4), attributes: AttributeChange(), edits: [.truncate(600)], republished: []),
    ]

    /// One or more of each kind, about the tree's own inodes.
    static let commands: [Command] = [
        create("n", in: 2, .file), .createTemporary(parent: inode(2), mode: 0o640, umask: 0o22, uid: 1, gid: 2),
        .createNumbered(
            inode(90), parent: inode(2), name: name("m"), kind: .symlink, mode: 0o777, umask: 0o22, uid: 1, gid: 2, target: [65]),
        .reserveInodes(100),
        .link(inode: inode(4), parent: .root, name: name("l")), .unlink(parent: inode(2), name: name("f"), keep: false),
        .removeDirectory(parent: inode(2), name: name("e"), keep: false),
        .rename(from: .root, name: name("d"), to: .root, newName: name("x"), mode: .replace, keep: false),
        .rename(from: .root, name: name("g"), to: inode(2), newName: name("f"), mode: .exchange, keep: true),
        .update(
            inode: inode(4), attributes: AttributeChange(mode: 0o600, modified: 5),
            edits: [.truncate(50), extent(4096, 100, otherKey), .hole(offset: 10, length: 20)], republished: [otherKey]),
        .update(inode: inode(8), attributes: AttributeChange(), edits: [.truncate(0), .inline([7])], republished: []),
        .setXattr(inode: inode(4), name: [66], value: [1, 2], mode: .create, dropsSetGID: false),
        .setXattr(inode: inode(2), name: AccessControlList.defaultName, value: minimalList, mode: .any, dropsSetGID: true), .removeXattr(inode: inode(4), name: [65]), .reap([inode(7)]),
        .openSession(SessionID(rawValue: 2), name: "n"), .closeSession(SessionID(rawValue: 2)), .collect([otherKey]), .collected([otherKey]),
        .setRecord(key: "collection.delay", expectedVersion: 0, value: Array("60".utf8)), .setRecord(key: "r", expectedVersion: 1, value: nil),
    ]

    static let queries: [Query] = [
        .lookup(parent: .root, name: name("d")), .attributes(inode(4)), .list(directory: .root, after: name("d"), limit: 4096, detail: .attributes),
        .list(directory: .root, after: nil, limit: 9, detail: .directories), .list(directory: .root, after: nil, limit: 64, detail: .contents),
        .content(inode(4), offset: 0, length: .max), .symlink(inode(6)), .xattr(inode(4), name: [65]), .xattrNames(inode(4)), .statistics,
        .record(key: "r"), .records(prefix: ""), .path(inode(3)),
    ]

    static var scripts: [[Step]] {
        var steps = commands.enumerated().map { place, command in
            Step.propose(
                Proposal(
                    session: place % 3 == 0 ? nil : SessionID(rawValue: 1), sequence: UInt64(place) + 1, acknowledgedBelow: 1, time: 700_000_000_000,
                    command: command))
        }
        let questions = queries.map { Step.ask($0) }
        let whole = steps + questions
        steps.reverse()
        return [whole, questions + steps.prefix(6)] + commands.map { [.propose(Proposal(session: nil, sequence: 0, acknowledgedBelow: 0, time: 5, command: $0))] }
    }

    /// The rows of the tree.
    static let rows: StateChunk = {
        let store = MemoryStore()
        guard let namespace = try? Namespace(store: store) else { preconditionFailure("an empty store makes a namespace") }
        let proposals = making.map { Proposal(session: nil, sequence: 0, acknowledgedBelow: 0, time: 1000, command: $0) }
        _ = try? namespace.apply(proposals, index: 1, term: 1)
        var chunk = StateChunk()
        store.scan(from: [], to: nil) { key, value in
            chunk.rows.append((Array(key), Array(value)))
            return true
        }
        return chunk
    }()

    private static let batch: WriteBatch = {
        var batch = WriteBatch()
        for row in rows.rows { batch.put(row.key, row.value) }
        return batch
    }()

    /// The tree in a store of its own: from its rows, which takes less time than making it.
    private static func make() -> (MemoryStore, Namespace) {
        let store = MemoryStore()
        store.write(batch)
        guard let namespace = try? Namespace(store: store) else { preconditionFailure("the rows are sound") }
        return (store, namespace)
    }

    static var chunk: [UInt8] { rows.encoded }

    static var rowSeeds: [[UInt8]] { rows.rows.enumerated().map { place, row in [UInt8(place)] + row.value } }

    /// Carries out a script on two replicas. Whatever it says, the state stays sound, the replicas stay equal, and every outcome and answer can
    /// be sent.
    static func run(_ steps: [Step]) throws(Violation) {
        let (store, namespace) = make()
        let (_, other) = make()
        var index: UInt64 = 1
        do throws(StoreError) {
            for step in steps.prefix(64) {
                switch step {
                case .propose(let proposal):
                    index += 1
                    for outcome in try namespace.apply([proposal], index: index, term: 1) { try check(outcome) }
                    _ = try other.apply([proposal], index: index, term: 1)
                case .ask(let query): try check(try namespace.answer(query))
                }
            }
            if namespace.digest != other.digest { throw StoreError(.failed, "replicas differ after equal commands") }
            if let finding = try Invariants.check(store).first { throw StoreError(.failed, finding.description) }
        } catch { throw Violation(error.cause) }
    }

    private static func check<Value: ByteCodable & Equatable>(_ value: Value) throws(StoreError) {
        do throws(Violation) { try Decoder.checkStable(value) } catch { throw StoreError(.failed, error.description) }
    }

    /// Opens a namespace on rows that came from another replica or a disk, and uses it. It may refuse; it may not trap or go on for ever.
    static func survive(_ chunk: [UInt8]) throws(Violation) {
        let store = MemoryStore()
        do throws(StoreError) {
            var loader = try StateLoader(into: store)
            try loader.add(chunk)
            try loader.finish()
        } catch { return }
        guard let namespace = try? Namespace(store: store) else { return }
        for query in queries { _ = try? namespace.answer(query) }
        _ = try? namespace.sessions()
        _ = try? namespace.orphans(limit: 10)
        _ = try? namespace.collecting(limit: 10)
        _ = try? namespace.dueForCollection(before: .max, limit: 10)
        _ = try? Invariants.check(store)
        _ = try? Rows(store).forEachReference { _, _ in true }
        for (place, command) in (commands + making).enumerated() {
            let proposal = Proposal(
                session: place % 2 == 0 ? nil : SessionID(rawValue: 1), sequence: UInt64(place) + 1, acknowledgedBelow: 1, time: .max, command: command)
            guard (try? namespace.apply([proposal], index: namespace.appliedIndex &+ 1, term: 1)) != nil else { continue }
        }
    }
}
