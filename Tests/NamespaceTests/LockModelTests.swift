import Model
import Namespace
import Testing

/// Random requests against a table that knows of each byte who has it how.
@Suite struct LockModelTests {
    /// The plain way to say what locks are.
    struct Plain {
        static let bytes = 14

        struct Waiting {
            var id: LockTable.WaitID
            var inode: Int
            var holder: LockHolder
            var first: Int
            var last: Int
            var mode: LockMode
        }

        /// By file and byte.
        var locks: [[[LockHolder: LockMode]]]
        var waiting: [Waiting] = []

        init(files: Int) { locks = Array(repeating: Array(repeating: [:], count: Self.bytes), count: files) }

        func blockers(_ inode: Int, _ holder: LockHolder, _ first: Int, _ last: Int, _ mode: LockMode) -> Set<LockHolder> {
            var result: Set<LockHolder> = []
            for byte in first...last {
                for (other, held) in locks[inode][byte] where other != holder && other.owner.family == holder.owner.family && held.conflicts(with: mode) {
                    result.insert(other)
                }
            }
            return result
        }

        mutating func put(_ inode: Int, _ holder: LockHolder, _ first: Int, _ last: Int, _ mode: LockMode?) {
            for byte in first...last { locks[inode][byte][holder] = mode }
        }

        mutating func grant() -> [LockTable.WaitID] {
            var granted: [LockTable.WaitID] = []
            while let index = waiting.firstIndex(where: { blockers($0.inode, $0.holder, $0.first, $0.last, $0.mode).isEmpty }) {
                let next = waiting.remove(at: index)
                put(next.inode, next.holder, next.first, next.last, next.mode)
                granted.append(next.id)
            }
            return granted
        }

        /// Whom an owner waits for, directly or not.
        func reachable(from start: Set<LockHolder>) -> Set<LockHolder> {
            var seen = start
            while true {
                var next = seen
                for wait in waiting where seen.contains(wait.holder) && wait.holder.owner.family == .posix {
                    next.formUnion(blockers(wait.inode, wait.holder, wait.first, wait.last, wait.mode))
                }
                if next == seen { return seen }
                seen = next
            }
        }

        mutating func set(_ inode: Int, _ holder: LockHolder, _ first: Int, _ last: Int, _ mode: LockMode?, _ id: LockTable.WaitID?) -> (String, [LockTable.WaitID]) {
            guard let mode else {
                put(inode, holder, first, last, nil)
                return ("granted", grant())
            }
            if holder.owner.family == .flock {
                if locks[inode][0][holder] == mode { return ("granted", []) }
                put(inode, holder, first, last, nil)
            }
            let blockers = blockers(inode, holder, first, last, mode)
            if blockers.isEmpty {
                put(inode, holder, first, last, mode)
                return ("granted", grant())
            }
            guard let id else { return ("conflict", grant()) }
            if holder.owner.family == .posix, reachable(from: blockers).contains(holder) { return ("deadlock", grant()) }
            let granted = grant()
            waiting.append(Waiting(id: id, inode: inode, holder: holder, first: first, last: last, mode: mode))
            // What the conversion gave up may let others in, and they may let this one in no more; it comes after them all.
            return ("waits", granted + grant())
        }
    }

    /// xorshift64*, so that a failure can be had again.
    struct Generator {
        var state: UInt64
        mutating func below(_ bound: Int) -> Int {
            state ^= state >> 12
            state ^= state << 25
            state ^= state >> 27
            return Int((state &* 0x2545_F491_4F6C_DD1D) >> 33) % bound
        }
    }

    private static func name(_ outcome: LockTable.Outcome) -> String {
        switch outcome {
        case .granted: "granted"
        case .conflict: "conflict"
        case .waits: "waits"
        case .deadlock: "deadlock"
        case .exhausted: "exhausted"
        }
    }

    @Test(arguments: 1...24) func equalsThePlainTable(seed: Int) throws {
        var random = Generator(state: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15)
        var table = LockTable()
        var plain = Plain(files: 2)
        let inodes = [InodeID(rawValue: 5), InodeID(rawValue: 6)]
        var seen: Set<String> = []
        var numbers: UInt64 = 0
        for step in 0..<600 {
            let inode = random.below(2)
            let family: LockFamily = random.below(3) == 0 ? .flock : .posix
            let holder = LockHolder(SessionID(rawValue: UInt64(1 + random.below(3))), LockOwner(family, UInt64(random.below(2))))
            let choice = random.below(40)
            if choice == 0 {
                let session = holder.session
                plain.waiting.removeAll { $0.holder.session == session }
                for file in 0..<2 {
                    for byte in 0..<Plain.bytes { plain.locks[file][byte] = plain.locks[file][byte].filter { $0.key.session != session } }
                }
                let granted = table.drop(session)
                let expected = plain.grant()
                // Files are gone through one after another, so only the order within each is told.
                #expect(Set(granted) == Set(expected), "seed \(seed), step \(step)")
            } else if choice < 4, let waiting = plain.waiting.isEmpty ? nil : plain.waiting[random.below(plain.waiting.count)] {
                plain.waiting.removeAll { $0.id == waiting.id }
                let isCancelled = table.cancel(waiting.id, on: inodes[waiting.inode])
                #expect(isCancelled, "seed \(seed), step \(step)")
            } else {
                var first = random.below(Plain.bytes)
                var last = first + random.below(Plain.bytes - first)
                // The last byte stands for all that follow.
                var range = try #require(LockRange(UInt64(first), last == Plain.bytes - 1 ? LockRange.end : UInt64(last)))
                if family == .flock { (first, last, range) = (0, Plain.bytes - 1, .all) }
                let mode: LockMode? = [.shared, .exclusive, .exclusive, nil][random.below(4)]
                numbers += 1
                let id = LockTable.WaitID(holder.session, numbers)
                let wait = random.below(2) == 0 ? id : nil
                let change = table.set(inodes[inode], holder, process: 1, range, mode, wait: wait)
                let expected = plain.set(inode, holder, first, last, mode, wait)
                seen.insert(Self.name(change.outcome))
                #expect(Self.name(change.outcome) == expected.0, "seed \(seed), step \(step)")
                #expect(change.granted == expected.1, "seed \(seed), step \(step)")
            }
            try compare(table, plain, inodes, "seed \(seed), step \(step)")
        }
        #expect(seen == ["granted", "conflict", "waits", "deadlock"])
    }

    private func compare(_ table: LockTable, _ plain: Plain, _ inodes: [InodeID], _ place: Comment) throws {
        var count = 0
        for (file, inode) in inodes.enumerated() {
            for session: UInt64 in 1...3 {
                for family in LockFamily.allCases {
                    for id: UInt64 in 0...1 {
                        let holder = LockHolder(SessionID(rawValue: session), LockOwner(family, id))
                        let pieces = table.pieces(inode, holder)
                        var bytes: [LockMode?] = Array(repeating: nil, count: Plain.bytes)
                        for piece in pieces.pieces {
                            for byte in Int(piece.range.first)...Int(min(piece.range.last, UInt64(Plain.bytes - 1))) { bytes[byte] = piece.mode }
                        }
                        let expected = (0..<Plain.bytes).map { plain.locks[file][$0][holder] }
                        #expect(bytes == expected, place)
                        // As few pieces as can be.
                        let runs = expected.indices.count { expected[$0] != nil && ($0 == 0 || expected[$0] != expected[$0 - 1]) }
                        #expect(pieces.count == runs, place)
                        count += runs
                    }
                }
            }
        }
        #expect(table.count == count && table.waitingCount == plain.waiting.count, place)
    }
}
