import Model
import Testing

@testable import Consensus

/// Scripts of what happens to one server, with the effects that are expected: `>` lines are events, the others effects.
@Suite struct TranscriptTests {
    /// Runs the events of a script on server 1 and returns it with the effects that they really have.
    private func run(_ script: String) -> String {
        var raft: Raft?
        var lines: [String] = []
        for line in script.split(separator: "\n").map(String.init) where line.hasPrefix(">") {
            lines.append(line)
            let words = line.dropFirst().split(separator: " ").map(String.init)
            let numbers = words.map { UInt64($0) ?? 0 }
            func number(_ place: Int) -> UInt64 { place < numbers.count ? numbers[place] : 0 }
            func from(_ kind: Message.Kind) -> Event { .received(Message(term: number(2), kind: kind), from: NodeID(rawValue: number(1))) }
            let now = (number(words.count - 1)) * 1_000_000
            let event: Event
            switch words[0] {
            case "start":
                // start VOTERS… at TIME
                let voters = numbers[1..<(words.count - 2)].map(NodeID.init(rawValue:))
                let mark = SnapshotMark(index: 0, term: 0, configuration: Configuration(voters: voters, learners: []))
                let restored = Restored(hardState: HardState(term: 0, vote: nil), snapshot: mark, entries: [])
                raft = Raft(id: NodeID(rawValue: 1), restored: restored, timing: Group.timing, seed: 1, now: now)
                continue
            case "tick": event = .tick
            case "propose": event = .propose([UInt8(truncatingIfNeeded: number(1))], token: number(1))
            case "read": event = .read(token: number(1))
            case "persisted": event = .persisted(token: number(1))
            case "transfer": event = .transferLeadership(to: NodeID(rawValue: number(1)))
            case "voters": event = .changeConfiguration(
                Configuration(voters: numbers[1..<(words.count - 2)].map(NodeID.init(rawValue:)), learners: []), token: 99)
            // FROM TERM …
            case "preVote": event = from(.vote(granted: true, preVote: true))
            case "vote": event = from(.vote(granted: true, preVote: false))
            case "askVote": event = from(.requestVote(lastIndex: number(3), lastTerm: number(4), preVote: false, transfer: false))
            case "appended": event = from(.appended(index: number(3), probe: number(4) * 1_000_000))
            case "append":
                // FROM TERM PREVIOUS PREVIOUS-TERM COUNT COMMIT: entries of the message's term
                let entries = (0..<number(5)).map { Entry(term: number(2), index: number(3) + 1 + $0, payload: .empty) }
                event = from(
                    .append(previousIndex: number(3), previousTerm: number(4), entries: entries, commit: number(6), probe: 5))
            default:
                Issue.record("unknown word in \(line)")
                continue
            }
            lines += (raft?.step(event, now: now) ?? []).map { "  " + describe($0) }
        }
        return lines.joined(separator: "\n")
    }

    private func describe(_ entries: [Entry]) -> String { "[" + entries.map { "\($0.index)@\($0.term)" }.joined(separator: " ") + "]" }

    private func describe(_ effect: Effect) -> String {
        func name(_ id: NodeID?) -> String { id.map { String($0.rawValue) } ?? "nobody" }
        switch effect {
        case .persist(let state, let entries, let token):
            let standing = state.flatMap { $0.standing == .trusted ? nil : " \($0.standing)" } ?? ""
            return "persist #\(token)" + (state.map { " term \($0.term) vote \(name($0.vote))" } ?? "") + standing + " \(describe(entries))"
        case .send(let message, let target):
            switch message.kind {
            case .requestVote(let index, let term, let preVote, _):
                return "to \(name(target)) term \(message.term) \(preVote ? "preVote?" : "vote?") \(index)@\(term)"
            case .vote(let granted, _): return "to \(name(target)) term \(message.term) \(granted ? "yes" : "no")"
            case .append(let index, let term, let entries, let commit, _):
                return "to \(name(target)) term \(message.term) append after \(index)@\(term) \(describe(entries)) commit \(commit)"
            case .appended(let index, _): return "to \(name(target)) term \(message.term) appended \(index)"
            case .conflict(let rejected, let index, let term, _):
                return "to \(name(target)) term \(message.term) conflict \(rejected) try \(index)@\(term)"
            case .timeoutNow: return "to \(name(target)) term \(message.term) timeoutNow"
            case .recovering: return "to \(name(target)) term \(message.term) recovering"
            case .admit(let incarnation, let index): return "to \(name(target)) term \(message.term) admit \(incarnation) up to \(index)"
            case .distrust(let index): return "to \(name(target)) term \(message.term) distrust after \(index)"
            }
        case .commit(let entries): return "commit \(describe(entries))"
        case .accepted(let token, let index, let term): return "accepted \(token) at \(index)@\(term)"
        case .refused(let token, let leader): return "refused \(token), ask \(name(leader))"
        case .readable(let token, let index): return "readable \(token) at \(index)"
        case .becameLeader(let term): return "leads \(term)"
        case .follows(let leader, let term): return "follows \(name(leader)) in \(term)"
        case .sendSnapshot(let target): return "snapshot to \(name(target))"
        case .configuration(let configuration):
            let learners = configuration.learners.isEmpty ? "" : " learners \(configuration.learners.map { name($0) }.joined(separator: " "))"
            return "voters \(configuration.voters.map { name($0) }.joined(separator: " "))\(learners)"
        case .standing(let standing): return "is \(standing)"
        case .lostLog(let node): return "\(name(node)) lost its log"
        }
    }

    private static let leads = """
        > start 1 2 3 at 0
        > tick 1000
          to 2 term 1 preVote? 0@0
          to 3 term 1 preVote? 0@0
        > preVote 2 1 1001
          persist #1 term 1 vote 1 []
        > persisted 1 1002
          to 2 term 1 vote? 0@0
          to 3 term 1 vote? 0@0
        > vote 3 1 1003
          leads 1
          persist #2 [1@1]
          to 2 term 1 append after 0@0 [1@1] commit 0
          to 3 term 1 append after 0@0 [1@1] commit 0
        """

    @Test(arguments: [
        // An election: nothing is asked before the vote is durable.
        leads,
        // Commitment needs a majority of disks, the leader's own being one of them; sends do not wait for it.
        leads + """

            > propose 7 1010
              accepted 7 at 2@1
              persist #3 [2@1]
            > appended 2 1 1 1003 1011
              to 2 term 1 append after 1@1 [2@1] commit 0
            > persisted 2 1012
              commit [1@1]
            > appended 2 1 2 1011 1013
            > appended 3 1 2 1003 1014
              commit [2@1]
            """,
        // Two followers commit without the leader's disk.
        leads + """

            > appended 2 1 1 1003 1011
            > appended 3 1 1 1003 1012
              commit [1@1]
            > read 5 1013
              readable 5 at 1
            > read 6 1403
              to 2 term 1 append after 1@1 [] commit 1
              to 3 term 1 append after 1@1 [] commit 1
            > appended 3 1 1 1403 1404
              readable 6 at 1
            """,
        // A follower answers when the entries are durable, and takes back what conflicts.
        """
        > start 1 2 3 at 0
        > append 2 1 0 0 2 0 10
          follows 2 in 1
          persist #1 term 1 vote nobody [1@1 2@1]
        > append 2 1 2 1 1 1 11
          commit [1@1]
          persist #2 [3@1]
        > append 3 2 1 1 1 1 12
          follows 3 in 2
          persist #3 term 2 vote nobody [2@2]
        > persisted 1 13
        > persisted 2 14
        > persisted 3 15
          to 3 term 2 appended 1
          to 3 term 2 appended 2
        > append 3 2 9 2 1 9 16
          to 3 term 2 conflict 9 try 2@2
        """,
        // While a leader is heard nobody else gets a vote; later the better log does.
        """
        > start 1 2 3 at 0
        > append 2 1 0 0 1 0 10
          follows 2 in 1
          persist #1 term 1 vote nobody [1@1]
        > persisted 1 11
          to 2 term 1 appended 1
        > askVote 3 2 9 9 100
          to 3 term 1 no
        > askVote 3 2 0 0 600
          follows nobody in 2
          persist #2 term 2 vote nobody []
        > persisted 2 601
          to 3 term 2 no
        > askVote 3 3 1 1 602
          follows nobody in 3
          persist #3 term 3 vote 3 []
        > persisted 3 603
          to 3 term 3 yes
        > persisted 3 604
        """,
        // Leadership goes to a server that has everything; the lease ends with the message.
        leads + """

            > appended 2 1 1 1003 1011
            > persisted 2 1012
              commit [1@1]
            > transfer 2 1013
              to 2 term 1 timeoutNow
            > propose 8 1014
              refused 8, ask 2
            > read 9 1015
              to 2 term 1 append after 1@1 [] commit 1
              to 3 term 1 append after 0@0 [] commit 1
            """,
        // A leader that loses its majority refuses what it has accepted.
        leads + """

            > propose 7 1010
              accepted 7 at 2@1
              persist #3 [2@1]
            > read 8 1011
            > tick 1600
              follows nobody in 1
              refused 8, ask nobody
              refused 7, ask nobody
            """,
        // One server at a time, and only after an entry of the term is committed.
        leads + """

            > voters 1 2 at 1004
              refused 99, ask 1
            > appended 2 1 1 1003 1011
            > persisted 2 1012
              commit [1@1]
            > voters 1 at 1013
              refused 99, ask 1
            > voters 1 2 at 1014
              voters 1 2
              accepted 99 at 2@1
              persist #3 [2@1]
              to 2 term 1 append after 1@1 [2@1] commit 1
            """,
    ])
    func transcript(_ script: String) { #expect(run(script) == script) }
}
