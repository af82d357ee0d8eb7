import Model
import Namespace
import Testing

@Suite struct LockTableTests {
    private let file = InodeID(rawValue: 10)
    private let other = InodeID(rawValue: 11)

    private func holder(_ session: UInt64, _ id: UInt64, _ family: LockFamily = .posix) -> LockHolder {
        LockHolder(SessionID(rawValue: session), LockOwner(family, id))
    }

    private func wait(_ session: UInt64, _ number: UInt64) -> LockTable.WaitID { LockTable.WaitID(SessionID(rawValue: session), number) }

    private func range(_ first: UInt64, _ last: UInt64) -> LockRange { LockRange(first, last) ?? .all }

    // MARK: Byte ranges

    @Test func rangesAreBounded() {
        #expect(LockRange(5, 4) == nil)
        #expect(LockRange(0, LockRange.end + 1) == nil)
        #expect(LockRange(LockRange.end, LockRange.end) != nil)
    }

    /// The examples of fcntl(2) and of POSIX: unlocking in the middle splits, neighbours of one mode join.
    @Test func splitsAndJoins() {
        var pieces = LockPieces()
        pieces.set(range(0, 99), .exclusive)
        pieces.set(range(40, 59), nil)
        #expect(pieces.pieces.map(\.range) == [range(0, 39), range(60, 99)])
        pieces.set(range(40, 59), .shared)
        #expect(pieces.count == 3)
        pieces.set(range(30, 69), .exclusive)
        #expect(pieces.pieces == [LockPieces.Piece(range: range(0, 99), mode: .exclusive)])
        pieces.set(.all, .shared)
        #expect(pieces.pieces == [LockPieces.Piece(range: .all, mode: .shared)])
        pieces.set(range(LockRange.end, LockRange.end), nil)
        pieces.set(range(0, 0), nil)
        #expect(pieces.pieces.map(\.range) == [range(1, LockRange.end - 1)])
    }

    @Test func holderIsShown() {
        var table = LockTable()
        _ = table.set(file, holder(1, 1), process: 77, range(10, 19), .shared)
        _ = table.set(file, holder(1, 1), process: 77, range(30, 39), .exclusive)
        #expect(table.test(file, holder(2, 1), .all, .shared)?.range == (range(30, 39)))
        #expect(table.test(file, holder(2, 1), .all, .exclusive)?.range == (range(10, 19)))
        #expect(table.test(file, holder(2, 1), .all, .exclusive)?.process == 77)
        #expect(table.test(file, holder(1, 1), .all, .exclusive) == nil)
        #expect(table.test(file, holder(2, 1), range(20, 29), .exclusive) == nil)
        // The two kinds do not know of each other.
        #expect(table.test(file, holder(2, 1, .flock), .all, .exclusive) == nil)
    }

    /// The process that waits keeps what it has; one that gives up has it still.
    @Test func waitingUpgradeKeepsTheSharedLock() {
        var table = LockTable()
        _ = table.set(file, holder(1, 1), process: 1, .all, .shared)
        _ = table.set(file, holder(2, 1), process: 1, .all, .shared)
        #expect(table.set(file, holder(1, 1), process: 1, .all, .exclusive, wait: wait(1, 1)).outcome == .waits)
        #expect(table.pieces(file, holder(1, 1)).pieces.map(\.mode) == [.shared])
        // The second upgrade would wait for the first, and that for it.
        #expect(table.set(file, holder(2, 1), process: 1, .all, .exclusive, wait: wait(2, 1)).outcome == .deadlock)
        let isCancelled = table.cancel(wait(1, 1), on: file)
        #expect(isCancelled)
        #expect(table.pieces(file, holder(1, 1)).pieces.map(\.mode) == [.shared])
        #expect(table.set(file, holder(2, 1), process: 1, .all, nil).granted == [])
        #expect(table.set(file, holder(1, 1), process: 1, .all, .exclusive).outcome == .granted)
    }

    @Test func servedInTheOrderOfArrival() {
        var table = LockTable()
        _ = table.set(file, holder(1, 1), process: 1, .all, .exclusive)
        for (number, mode): (UInt64, LockMode) in [(1, .shared), (2, .exclusive), (3, .shared)] {
            #expect(table.set(file, holder(2, number), process: 1, .all, mode, wait: wait(2, number)).outcome == .waits)
        }
        // Both readers, and the writer when they have gone.
        #expect(table.set(file, holder(1, 1), process: 1, .all, nil).granted == [wait(2, 1), wait(2, 3)])
        #expect(table.set(file, holder(2, 1), process: 1, .all, nil).granted == [])
        // POSIX: only a lock that is held keeps one from being granted, not one that waits.
        #expect(table.set(file, holder(3, 1), process: 1, .all, .shared).outcome == .granted)
        #expect(table.drop(SessionID(rawValue: 3)) == [])
        #expect(table.set(file, holder(2, 3), process: 1, .all, nil).granted == [wait(2, 2)])
        #expect(table.drop(SessionID(rawValue: 2)) == [])
        let isEmpty = table.isEmpty
        #expect(isEmpty)
    }

    @Test func downgradeLetsReadersIn() {
        var table = LockTable()
        _ = table.set(file, holder(1, 1), process: 1, .all, .exclusive)
        _ = table.set(file, holder(2, 1), process: 1, range(5, 5), .shared, wait: wait(2, 1))
        #expect(table.set(file, holder(1, 1), process: 1, range(0, 4), .shared).granted == [])
        #expect(table.set(file, holder(1, 1), process: 1, range(5, 9), .shared).granted == [wait(2, 1)])
    }

    @Test func circlesOverSeveralFiles() {
        var table = LockTable()
        let third = InodeID(rawValue: 12)
        for (number, inode) in [(UInt64(1), file), (2, other), (3, third)] {
            #expect(table.set(inode, holder(number, 1), process: 1, .all, .exclusive).outcome == .granted)
        }
        #expect(table.set(other, holder(1, 1), process: 1, .all, .exclusive, wait: wait(1, 1)).outcome == .waits)
        #expect(table.set(third, holder(2, 1), process: 1, .all, .shared, wait: wait(2, 1)).outcome == .waits)
        #expect(table.set(file, holder(3, 1), process: 1, .all, .shared, wait: wait(3, 1)).outcome == .deadlock)
        // Without waiting there is no deadlock, only a conflict.
        guard case .conflict = table.set(file, holder(3, 1), process: 1, .all, .shared).outcome else {
            Issue.record("not a conflict")
            return
        }
        // flock(2) looks for none.
        _ = table.set(file, holder(1, 1, .flock), process: 1, .all, .exclusive)
        _ = table.set(other, holder(2, 1, .flock), process: 1, .all, .exclusive)
        #expect(table.set(other, holder(1, 1, .flock), process: 1, .all, .exclusive, wait: wait(1, 2)).outcome == .waits)
        #expect(table.set(file, holder(2, 1, .flock), process: 1, .all, .exclusive, wait: wait(2, 2)).outcome == .waits)
    }

    // MARK: flock

    /// flock(2): "the existing lock is first removed, and then a new lock is established".
    @Test func conversionGivesTheOldLockUp() {
        var table = LockTable()
        _ = table.set(file, holder(1, 1, .flock), process: 1, .all, .shared)
        _ = table.set(file, holder(2, 1, .flock), process: 1, .all, .shared)
        guard case .conflict = table.set(file, holder(1, 1, .flock), process: 1, .all, .exclusive).outcome else {
            Issue.record("not a conflict")
            return
        }
        #expect(table.pieces(file, holder(1, 1, .flock)).isEmpty)
        #expect(table.set(file, holder(2, 1, .flock), process: 1, .all, .exclusive).outcome == .granted)
        // Two that convert at once: the first one's old lock is out of the second one's way, which is there before it.
        _ = table.set(file, holder(2, 1, .flock), process: 1, .all, .shared)
        _ = table.set(file, holder(1, 1, .flock), process: 1, .all, .shared)
        #expect(table.set(file, holder(1, 1, .flock), process: 1, .all, .exclusive, wait: wait(1, 1)).outcome == .waits)
        let change = table.set(file, holder(2, 1, .flock), process: 1, .all, .exclusive, wait: wait(2, 1))
        #expect(change.outcome == .granted && change.granted == [])
        // Down again, which who waits must not get in the way of.
        _ = table.set(file, holder(3, 1, .flock), process: 1, .all, .shared, wait: wait(3, 1))
        let down = table.set(file, holder(2, 1, .flock), process: 1, .all, .shared)
        #expect(down.outcome == .granted && down.granted == [wait(3, 1)])
    }

    // MARK: Sessions and limits

    @Test func endOfASessionFreesItsLocks() {
        var table = LockTable()
        _ = table.set(file, holder(1, 1), process: 1, .all, .exclusive)
        _ = table.set(other, holder(1, 2, .flock), process: 1, .all, .exclusive)
        _ = table.set(file, holder(2, 1), process: 1, .all, .exclusive, wait: wait(2, 1))
        _ = table.set(file, holder(1, 3), process: 1, .all, .exclusive, wait: wait(1, 1))
        _ = table.set(other, holder(2, 1, .flock), process: 1, .all, .shared, wait: wait(2, 2))
        #expect(table.drop(SessionID(rawValue: 1)) == [wait(2, 1), wait(2, 2)])
        #expect(table.count == 2 && table.waitingCount == 0)
        #expect(table.drop(SessionID(rawValue: 2)) == [])
        let isEmpty = table.isEmpty
        #expect(isEmpty)
    }

    @Test func claimsMustNotConflict() {
        var table = LockTable()
        let claims = [
            table.claim(file, holder(1, 1), process: 1, .all, .shared), table.claim(file, holder(2, 1), process: 1, .all, .shared),
            // Said twice, because the answer was lost.
            table.claim(file, holder(2, 1), process: 1, .all, .shared), table.claim(file, holder(3, 1), process: 1, .all, .exclusive),
            table.claim(file, holder(3, 1, .flock), process: 1, .all, .exclusive),
        ]
        #expect(claims == [true, true, true, false, true])
    }

    @Test func limits() {
        var limits = LockTable.Limits()
        limits.session = 4
        limits.total = 6
        limits.sessionWaiting = 2
        limits.totalWaiting = 3
        var table = LockTable(limits: limits)
        for place: UInt64 in 0..<4 { #expect(table.set(file, holder(1, 1), process: 1, range(place * 2, place * 2), .shared).outcome == .granted) }
        #expect(table.set(file, holder(1, 1), process: 1, range(100, 100), .shared).outcome == .exhausted)
        #expect(table.set(other, holder(1, 2), process: 1, range(100, 100), .shared).outcome == .exhausted)
        // What needs no more room goes on: a lock that joins two, and an unlock that does not split.
        #expect(table.set(file, holder(1, 1), process: 1, range(1, 1), .shared).outcome == .granted)
        #expect(table.count == 3)
        #expect(table.set(file, holder(1, 1), process: 1, range(1, 1), nil).outcome == .granted)
        #expect(table.set(file, holder(1, 1), process: 1, range(4, 4), nil).outcome == .granted)
        _ = table.set(file, holder(2, 1), process: 1, range(200, 299), .exclusive)
        #expect(table.set(file, holder(2, 1), process: 1, range(250, 250), nil).outcome == .granted)
        #expect(table.set(file, holder(2, 1), process: 1, range(260, 260), nil).outcome == .granted)
        // In all: to split once more needs a seventh piece.
        #expect(table.set(file, holder(2, 1), process: 1, range(270, 270), nil).outcome == .exhausted)
        for number: UInt64 in 1...3 {
            let outcome = table.set(file, holder(3, number), process: 1, .all, .exclusive, wait: wait(3, number)).outcome
            #expect(outcome == (number < 3 ? .waits : .exhausted))
        }
        #expect(table.set(file, holder(4, 1), process: 1, .all, .exclusive, wait: wait(4, 1)).outcome == .waits)
        #expect(table.set(file, holder(5, 1), process: 1, .all, .exclusive, wait: wait(5, 1)).outcome == .exhausted)
        for session: UInt64 in 1...5 { _ = table.drop(SessionID(rawValue: session)) }
        let isEmpty = table.isEmpty
        #expect(isEmpty)
    }
}
