import Model

@testable import Consensus

/// A property of Raft (figure 3) that does not hold.
struct Violation: Error, CustomStringConvertible {
    var description: String
}

/// What has happened in a group, as far as the properties of figure 3 need it; every fact is checked as it is added.
struct History {
    private struct Place: Hashable {
        var index: LogIndex
        var term: Term
    }

    private struct Fact: Equatable {
        var previousTerm: Term
        var payload: Entry.Payload
    }

    private var leaders: [Term: NodeID] = [:]
    private var facts: [Place: Fact] = [:]
    /// Every entry that some server knows to be committed, from index 1, and the term in which that became known.
    private(set) var committed: [(entry: Entry, known: Term)] = []

    var commitIndex: LogIndex { UInt64(committed.count) }

    /// Election safety and leader completeness.
    mutating func elected(_ server: NodeID, _ raft: Raft) throws {
        let other = leaders.updateValue(server, forKey: raft.term)
        guard other == nil || other == server else { throw Violation(description: "election safety: two leaders in term \(raft.term)") }
        // Entries that were committed in earlier terms; the last of them implies the others by log matching.
        guard let last = committed.last(where: { $0.known < raft.term })?.entry, last.index > raft.compactedIndex else { return }
        guard raft.mark(at: last.index)?.term == last.term else {
            throw Violation(description: "leader completeness: leader of term \(raft.term) lacks \(last.index) of term \(last.term)")
        }
    }

    /// Log matching: two entries of one index and term are equal, and so are those before them.
    mutating func appended(_ entries: [Entry], after previousTerm: Term) throws {
        var previous = previousTerm
        for entry in entries {
            let fact = Fact(previousTerm: previous, payload: entry.payload)
            if let known = facts.updateValue(fact, forKey: Place(index: entry.index, term: entry.term)), known != fact {
                throw Violation(description: "log matching: \(entry.index) of term \(entry.term): \(known) and \(fact)")
            }
            previous = entry.term
        }
    }

    /// State machine safety.
    ///
    /// - Returns: whether nobody knew this before.
    mutating func applied(_ entry: Entry, term: Term) throws -> Bool {
        guard entry.index <= commitIndex else {
            guard entry.index == commitIndex + 1 else { throw Violation(description: "commit of \(entry.index) leaves a gap") }
            committed.append((entry, term))
            return true
        }
        let known = committed[Int(entry.index) - 1].entry
        guard known == entry else { throw Violation(description: "state machine safety: \(entry.index) is \(known) and \(entry)") }
        return false
    }
}
