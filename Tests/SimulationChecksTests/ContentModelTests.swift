import Bytes
import Glibc
import SimulationChecks
import Testing

@Suite struct ContentModelTests {
    private typealias Step = (UInt16, ContentCall, ContentOutcome?)
    private typealias Event = Operation<ContentModel.Call, ContentOutcome>

    private func history(_ steps: [Step]) -> [Event] {
        inSequence(steps.map { ($0.0, ContentModel.Call(client($0.0), $0.1), $0.2) })
    }


    private func write(_ tag: UInt64, _ start: UInt32, _ count: UInt32, handle: UInt64 = 1, isSynchronous: Bool = false) -> ContentCall {
        .write(.write(start: start, count: count, tag: tag), handle: handle, isSynchronous: isSynchronous)
    }

    private func append(_ tag: UInt64, _ count: UInt32, handle: UInt64 = 1) -> ContentCall {
        .write(.append(count: count, tag: tag), handle: handle, isSynchronous: false)
    }

    private func truncate(_ size: UInt32) -> ContentCall { .write(.truncate(size), handle: 1, isSynchronous: false) }

    private func run(_ start: UInt32, _ end: UInt32, _ tag: UInt64, at origin: UInt32 = 0) -> CellMap.Run {
        CellMap.Run(start: start, end: end, tag: tag, origin: origin)
    }

    private func found(_ count: UInt32, _ runs: CellMap.Run...) -> ContentOutcome { .read(count: count, runs: runs) }

    private let all = ContentCall.read(start: 0, count: 100)
    private let ends = ContentCall.lose(owes: false, ends: false)
    private let losesSession = ContentCall.lose(owes: true, ends: false)

    private func verdict(_ steps: [[Step]]) -> Verdict {
        Linearizability.check(ContentModel(), history(steps.flatMap { $0 }))
    }

    private func accepted(_ steps: [Step]..., sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(verdict(steps) == .linearizable, sourceLocation: sourceLocation)
    }

    private func refused(_ steps: [Step]..., sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(verdict(steps).isViolation, sourceLocation: sourceLocation)
    }

    @Test func readsSeeAllWritesThatReturned() {
        let start: [Step] = [(1, write(5, 0, 4), .done), (1, write(6, 2, 4), .done)]
        accepted(start, [(2, all, found(6, run(0, 2, 5), run(2, 6, 6))), (2, .size, .size(6))])
        refused(start, [(2, all, found(4, run(0, 4, 5)))])
        refused(start, [(2, .size, .size(4))])
        refused(start, [(1, all, found(6, run(0, 4, 5)))])
        accepted(start, [(2, .read(start: 5, count: 9), found(1, run(5, 6, 6))), (2, .read(start: 6, count: 1), found(0))])
    }

    @Test func sizesAndHoles() {
        accepted([(1, write(5, 4, 2), .done), (2, all, found(6, run(4, 6, 5))), (1, truncate(5), .done), (1, truncate(8), .done), (2, all, found(8, run(4, 5, 5)))])
        // What was cut off stays away when the file grows again.
        refused([(1, write(5, 4, 2), .done), (1, truncate(5), .done), (1, truncate(8), .done), (2, all, found(8, run(4, 6, 5)))])
        let punched: [Step] = [(1, write(5, 0, 9), .done), (1, .write(.clear(start: 2, count: 3), handle: 1, isSynchronous: false), .done)]
        accepted(punched, [(2, all, found(9, run(0, 2, 5), run(5, 9, 5)))])
        refused(punched, [(2, all, found(9, run(0, 9, 5)))])
    }

    @Test func whatWasSyncedIsNeverLost() {
        let start: [Step] = [(1, write(5, 0, 1), .done), (1, .sync(handle: 1), .done), (1, ends, nil)]
        accepted(start, [(2, all, found(1, run(0, 1, 5)))])
        refused(start, [(2, all, found(0))])
        refused([(1, write(5, 0, 1, isSynchronous: true), .done), (1, ends, nil), (2, all, found(0))])
    }

    @Test func whatOthersSawIsNeverLost() {
        let start: [Step] = [(1, write(5, 0, 1), .done), (2, .size, .size(1)), (1, write(6, 1, 1), .done), (1, ends, nil)]
        accepted(start, [(2, all, found(1, run(0, 1, 5)))])
        accepted(start, [(2, all, found(2, run(0, 1, 5), run(1, 2, 6)))])
        refused(start, [(2, all, found(0))])
    }

    @Test func whatIsLeftIsAPrefix() {
        let start: [Step] = [(1, write(5, 0, 1), .done), (1, write(6, 1, 1), .done), (1, write(7, 0, 1), .done), (1, ends, nil)]
        accepted(start, [(2, all, found(0))])
        accepted(start, [(2, all, found(1, run(0, 1, 5)))])
        accepted(start, [(2, all, found(2, run(0, 1, 5), run(1, 2, 6)))])
        accepted(start, [(2, all, found(2, run(0, 1, 7), run(1, 2, 6)))])
        // Without the first one, or without the second.
        refused(start, [(2, all, found(2, run(1, 2, 6)))])
        refused(start, [(2, all, found(1, run(0, 1, 7)))])
    }

    @Test func nothingIsLostWithoutAReason() {
        refused([(1, write(5, 0, 1), .done), (2, ends, nil), (2, all, found(0))])
        refused([(1, write(5, 0, 1), .done), (1, all, found(0))])
    }

    @Test func whatIsLostDoesNotComeBack() {
        let start: [Step] = [(1, write(5, 0, 1), .done), (1, ends, nil), (2, all, found(0))]
        accepted(start, [(2, all, found(0))])
        refused(start, [(2, all, found(1, run(0, 1, 5)))])
    }

    @Test func anOpenCallOfADeadClientComesBeforeItsEnd() {
        let sealed = ContentCall.lose(owes: false, ends: true)
        let start: [Step] = [(1, write(4, 0, 1), .done), (1, write(5, 1, 1), nil), (1, sealed, nil)]
        accepted(start, [(2, all, found(2, run(0, 1, 4), run(1, 2, 5)))])
        accepted(start, [(2, all, found(0)), (2, all, found(0))])
        refused(start, [(2, all, found(0)), (2, all, found(2, run(1, 2, 5)))])
    }

    @Test func lossesAreReportedToTheHandle() {
        let start: [Step] = [(1, write(5, 0, 1), .done), (1, losesSession, nil), (2, all, found(0))]
        accepted(start, [(1, .sync(handle: 1), .failed(EIO)), (1, .sync(handle: 1), .done)])
        accepted(start, [(1, .close(handle: 1), .failed(EIO))])
        refused(start, [(1, .sync(handle: 1), .done)])
        refused(start, [(1, .close(handle: 1), .done)])
        // Another handle had nothing to lose.
        accepted(start, [(1, .close(handle: 2), .done)])
        // Nothing was lost.
        accepted([(1, write(5, 0, 1), .done), (1, losesSession, nil), (2, all, found(1, run(0, 1, 5))), (1, .sync(handle: 1), .done)])
    }

    @Test func whoWasToldOnceIsNotToldAgain() {
        let start: [Step] = [(1, write(5, 0, 1), .done), (1, .sync(handle: 1), .failed(EIO)), (1, losesSession, nil), (2, all, found(0))]
        accepted(start, [(1, .sync(handle: 1), .done)])
        let more: [Step] = [
            (1, write(5, 0, 1), .done), (1, .sync(handle: 1), .failed(EIO)), (1, write(6, 1, 1), .done), (1, losesSession, nil),
            (2, all, found(0)),
        ]
        refused(more, [(1, .sync(handle: 1), .done)])
    }

    @Test func appendsGoToTheEnd() {
        let start: [Step] = [(1, append(5, 2), .done), (2, append(6, 1), .done), (1, append(7, 1), .done)]
        accepted(start, [(2, all, found(4, run(0, 2, 5), run(2, 3, 6, at: 2), run(3, 4, 7, at: 3)))])
        // One over another, one twice, another order.
        refused(start, [(2, all, found(3, run(0, 2, 5), run(2, 3, 7, at: 2)))])
        refused(start, [(2, all, found(5, run(0, 2, 5), run(2, 3, 6, at: 2), run(3, 4, 7, at: 3), run(4, 5, 7, at: 4)))])
        refused(start, [(2, all, found(4, run(0, 1, 6), run(1, 3, 5, at: 1), run(3, 4, 7, at: 3)))])
    }

    @Test func overlappingAppendsHaveAnyOrder() {
        func event(_ who: UInt16, _ call: ContentCall, _ outcome: ContentOutcome, _ from: UInt64, _ to: UInt64) -> Event {
            operation(who, ContentModel.Call(client(who), call), outcome, from, to)
        }
        let appends = [event(1, append(5, 1), .done, 1, 10), event(2, append(6, 1), .done, 2, 9)]
        let read = event(3, all, found(2, run(0, 1, 6), run(1, 2, 5, at: 1)), 11, 12)
        #expect(Linearizability.check(ContentModel(), appends + [read]) == .linearizable)
    }

    @Test func mapsOfCells() {
        var map = CellMap()
        map.write(run(0, 10, 1))
        map.write(run(3, 5, 2))
        map.write(run(4, 12, 3))
        #expect(map.runs == [run(0, 3, 1), run(3, 4, 2), run(4, 12, 3)])
        #expect(map.runs(in: 2..<5) == [run(2, 3, 1), run(3, 4, 2), run(4, 5, 3)])
        map.truncate(to: 2)
        var same = CellMap()
        same.write(run(0, 2, 1))
        #expect(map == same && map.hashValue == same.hashValue)
        map.truncate(to: 3)
        #expect(map != same)
    }

    @Test func cellsTellWhoWroteThem() {
        let written = Cells.positioned(tag: 7, place: 5, count: 3)
        #expect(Cells.runs([written], at: 5)?.runs == [run(5, 8, 7)])
        #expect(Cells.runs([written], at: 4) == nil)
        let appended = Cells.appended(tag: 8, count: 2)
        #expect(Cells.runs([written, appended], at: 5)?.runs == [run(5, 8, 7), run(8, 10, 8, at: 8)])
        #expect(Cells.runs([Cells.positioned(tag: 9, place: 0, count: 1)], at: 0)?.count == 1)
        #expect(written.part(offset: 0, count: 17).flatMap { Cells.runs([$0], at: 5) } == nil)
    }
}
