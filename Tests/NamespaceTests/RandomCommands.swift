import Digest
import Model
import Namespace

/// Commands drawn at random from a small world, so that they often meet: few names, few inodes, few blocks, two sessions.
struct RandomCommands {
    private var generator: SeededGenerator
    private var time: Timestamp = 1_000_000
    private var sequences: [SessionID: UInt64] = [:]
    private var sent: [Proposal] = []
    private static let names = ["a", "b", "c", "d", "e", "f"].compactMap { Name($0) }

    /// Inodes are drawn from 1 up to this.
    var inodes: UInt64 = 40

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    func proposals(_ count: Int) -> [Proposal] {
        var copy = self
        return (0..<count).map { _ in copy.next() }
    }

    mutating func next() -> Proposal {
        time += Int64.random(in: 1...5_000_000_000, using: &generator)
        let session: SessionID? = random(3) == 0 ? nil : SessionID(rawValue: 1 + UInt64(random(2)))
        guard let session else {
            return Proposal(session: nil, sequence: 0, acknowledgedBelow: 0, time: time, command: command())
        }
        // Sometimes a repetition.
        if random(20) == 0, let old = sent.suffix(50).randomElement(using: &generator) { return old }
        let sequence = sequences[session, default: 0] + 1
        sequences[session] = sequence
        let below = sequence > 20 ? sequence - UInt64(random(20)) : 1
        let shown = random(3) == 0 ? time + Int64.random(in: -1_000_000_000...1_000_000_000, using: &generator) : nil
        let proposal = Proposal(session: session, sequence: sequence, acknowledgedBelow: below, time: time, shown: shown, command: command())
        sent.append(proposal)
        return proposal
    }

    mutating func random(_ below: Int) -> Int { Int.random(in: 0..<below, using: &generator) }

    private mutating func inode() -> InodeID { InodeID(rawValue: UInt64(random(Int(inodes))) + 1) }
    /// Mostly one of the first inodes, where directories are likely.
    private mutating func directory() -> InodeID { random(2) == 0 ? .root : InodeID(rawValue: UInt64(random(12)) + 1) }
    private mutating func name() -> Name { Self.names[random(6)] }
    private mutating func keep() -> Bool { random(3) == 0 }
    private mutating func blocks() -> [BlockKey] { (0..<random(6)).map { _ in key(UInt64(random(16))) } }

    private mutating func edit() -> Edit {
        let offset = UInt64(random(2)) * (Limits.regionBytes - 8192) + UInt64(random(16)) * 512
        switch random(12) {
        case 0: return .truncate(random(2) == 0 ? 0 : offset)
        case 1: return .inline([UInt8](repeating: UInt8(random(256)), count: random(600)))
        case 2, 3: return .hole(offset: offset, length: UInt64(random(20)) * 512)
        default:
            let number = UInt64(random(16))
            let blockLength = UInt32(number + 1) * 512
            let blockOffset = UInt32(random(Int(number) + 1)) * 512
            let length = UInt32(random(Int((blockLength - blockOffset) / 512)) + 1) * 512 - UInt32(random(5))
            return .extent(
                Extent(offset: offset, length: length, key: key(number), blockLength: blockLength, blockOffset: blockOffset))
        }
    }

    private mutating func command() -> Command {
        switch random(42) {
        case 40..<42: return .createTemporary(parent: directory(), mode: UInt16(random(0o10000)), umask: 0o22, uid: 1, gid: 2)
        case 0..<9:
            let kind = [FileKind.file, .file, .directory, .directory, .symlink, .fifo][random(6)]
            return .create(
                parent: directory(), name: name(), kind: kind, mode: UInt16(random(0o10000)), umask: 0o22, uid: 1, gid: 2, device: 3,
                target: kind == .symlink ? [65, 66] : [])
        case 9..<12: return .link(inode: inode(), parent: directory(), name: name())
        case 12..<15: return .unlink(parent: directory(), name: name(), keep: keep())
        case 15..<17: return .removeDirectory(parent: directory(), name: name(), keep: keep())
        case 17..<24:
            let mode = [RenameMode.replace, .replace, .noReplace, .exchange][random(4)]
            return .rename(from: directory(), name: name(), to: directory(), newName: name(), mode: mode, keep: keep())
        case 24..<32:
            let change = random(2) == 0 ? AttributeChange() : AttributeChange(mode: UInt16(random(0o10000)), modified: time)
            return .update(inode: inode(), attributes: change, edits: (0..<random(5)).map { _ in edit() }, republished: blocks())
        case 32:
            let lists = [AccessControlList.accessName, AccessControlList.defaultName]
            let name = random(2) == 0 ? [UInt8(65 + random(3))] : lists[random(2)]
            return .setXattr(inode: inode(), name: name, value: random(5) == 0 ? [1, 2, 3] : sampleList, mode: .any, dropsSetGID: random(2) == 0)
        case 33: return .removeXattr(inode: inode(), name: random(2) == 0 ? [UInt8(65 + random(3))] : AccessControlList.accessName)
        case 34: return .reap((0..<random(8)).map { _ in inode() })
        case 35: return .openSession(SessionID(rawValue: 1 + UInt64(random(2))), name: "s")
        case 36: return random(10) == 0 ? .closeSession(SessionID(rawValue: 1 + UInt64(random(2)))) : .collected(blocks())
        case 37: return .collect(blocks())
        case 38: return .collected(blocks())
        default: return .setRecord(key: "r\(random(3))", expectedVersion: UInt64(random(3)), value: random(3) == 0 ? nil : [1])
        }
    }
}
