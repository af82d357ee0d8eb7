import Runtime
import SimulationChecks
import TestSupport
import Testing

/// The search itself, on a register.
@Suite struct SearchTests {
    private typealias Event = Operation<RegisterModel.Call, UInt64>

    private func write(_ who: UInt16, _ value: UInt64, _ from: UInt64, _ to: UInt64?) -> Event {
        operation(who, .replace(value), to == nil ? nil : value, from, to)
    }

    private func read(_ who: UInt16, _ value: UInt64, _ from: UInt64, _ to: UInt64) -> Event { operation(who, .read, value, from, to) }

    private func check(_ events: [Event], bound: Int = 10_000) -> Verdict { Linearizability.check(RegisterModel(), events, bound: bound) }

    @Test func nothingIsLinearizable() {
        #expect(check([]) == .linearizable)
        #expect(check([write(1, 5, 1, nil)]) == .linearizable)
    }

    @Test func readsSeeWhatReturnedBefore() {
        #expect(check([write(1, 5, 1, 2), read(2, 5, 3, 4)]) == .linearizable)
        #expect(check([write(1, 5, 1, 2), read(2, 0, 3, 4)]).isViolation)
        #expect(check([read(2, 5, 1, 2), write(1, 5, 3, 4)]).isViolation)
    }

    @Test func overlappingCallsHaveAnyOrder() {
        #expect(check([write(1, 5, 1, 6), read(2, 0, 2, 3), read(3, 5, 4, 5)]) == .linearizable)
        // But one: what a read has shown stays shown.
        #expect(check([write(1, 5, 1, 6), read(2, 5, 2, 3), read(3, 0, 4, 5)]).isViolation)
        #expect(check([write(1, 5, 1, 9), write(2, 6, 2, 8), read(3, 5, 3, 4), read(4, 6, 5, 6), read(4, 5, 10, 11)]).isViolation)
        #expect(check([write(1, 5, 1, 9), write(2, 6, 2, 8), read(3, 6, 3, 4), read(4, 5, 10, 11)]) == .linearizable)
    }

    @Test func whatMayHaveHappenedMayHappenAtAnyLaterTimeOrNever() {
        let open = write(1, 5, 1, nil)
        #expect(check([open, read(2, 0, 2, 3), read(2, 5, 4, 5)]) == .linearizable)
        #expect(check([open, read(2, 0, 2, 3), read(2, 0, 4, 5)]) == .linearizable)
        #expect(check([open, read(2, 5, 2, 3), read(2, 0, 4, 5)]).isViolation)
        // Once, not twice.
        #expect(check([open, read(2, 5, 2, 3), write(2, 6, 4, 5), read(2, 5, 6, 7)]).isViolation)
    }

    @Test func theBoundIsNotAVerdict() {
        var events: [Event] = []
        for value in 1...12 { events.append(write(UInt16(value), UInt64(value), UInt64(value), 100)) }
        events.append(read(20, 99, 101, 102))
        #expect(check(events, bound: 50) == .unknown)
        #expect(check(events, bound: 1_000_000).isViolation)
    }

    @Test func theExplanationShowsWhereItGotStuck() throws {
        let verdict = check((1...50).map { write(1, $0, $0 * 4, $0 * 4 + 1) } + [read(2, 7, 203, 204)])
        guard case .violation(let lines) = verdict else {
            Issue.record("accepted")
            return
        }
        #expect(lines.count <= 12)
        #expect(lines.contains { $0.contains("version 50") })
        #expect(lines.contains { $0.contains("read: version 7") })
    }

    /// Long histories of several clients with some open calls, made by carrying out calls at moments within their intervals; and the same with
    /// one read made wrong.
    @Test(arguments: 1...20) func longHistories(seed: UInt64) async {
        let (good, bad) = await make(seed)
        #expect(check(good, bound: 200_000) == .linearizable)
        #expect(check(bad, bound: 200_000).isViolation)
    }

    @LoopActor
    private func make(_ seed: UInt64) -> (good: [Event], bad: [Event]) {
        let random = SeededRandom(seed: seed)
        var events: [Event] = []
        var state: UInt64 = 0
        var free: [UInt64] = [0, 0, 0, 0]
        for step in 10...2000 {
            // The effect is at `at`; calls of one client do not overlap.
            let at = UInt64(step) * 100
            let who = random.below(4)
            guard free[who] < at else { continue }
            let from = max(free[who] + 1, at - UInt64(random.below(150)))
            let to = at + UInt64(random.below(250)) + 1
            free[who] = to
            if random.below(2) == 0 {
                let isOpen = random.below(500) == 0
                if !isOpen || random.below(2) == 0 { state = UInt64(step) }
                events.append(write(UInt16(who), UInt64(step), from, isOpen ? nil : to))
            } else {
                events.append(read(UInt16(who), state, from, to))
            }
        }
        var bad = events
        if let place = bad.indices.filter({ $0 > 1500 && bad[$0].call == .read }).first { bad[place].outcome = 3 }
        return (events, bad)
    }
}
