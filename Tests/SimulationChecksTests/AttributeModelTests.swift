import Glibc
import Namespace
import SimulationChecks
import Testing

@Suite struct AttributeModelTests {
    private typealias Step = (UInt16, AttributeModel.Action, AttributeModel.Outcome?)

    private func mode(_ value: UInt16) -> AttributeValues { AttributeValues(mode: value) }

    private func verdict(_ steps: [[Step]]) -> Verdict {
        Linearizability.check(AttributeModel(), inSequence(steps.flatMap { $0 }.map { ($0.0, AttributeModel.Call(client($0.0), $0.1), $0.2) }))
    }

    private func accepted(_ steps: [Step]..., sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(verdict(steps) == .linearizable, sourceLocation: sourceLocation)
    }

    private func refused(_ steps: [Step]..., sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(verdict(steps).isViolation, sourceLocation: sourceLocation)
    }

    @Test func changesAreSeenByAll() {
        let start: [Step] = [(1, .change(mode(0o600)), .values(mode(0o600))), (2, .change(AttributeValues(uid: 7)), .done)]
        accepted(start, [(1, .show, .values(AttributeValues(mode: 0o600, uid: 7)))])
        refused(start, [(1, .show, .values(AttributeValues(mode: 0o644, uid: 7)))])
        refused([(1, .change(mode(0o600)), .values(mode(0o644)))])
    }

    @Test func onlyUnsyncedChangesAreLost() {
        let first: [Step] = [(1, .change(mode(0o600)), .done)]
        let lost: [Step] = [(1, .change(mode(0o700)), .done), (1, .lose, nil), (2, .show, .values(mode(0o600)))]
        accepted(first, [(1, .sync, .done)], lost)
        accepted(first, [(1, .sync, .done), (1, .lose, nil), (1, .change(mode(0o700)), .done)], lost)
        refused(first, [(1, .change(mode(0o700)), .done), (1, .sync, .done), (1, .lose, nil), (2, .show, .values(mode(0o600)))])
        refused(first, [(1, .change(mode(0o700)), .done), (2, .show, .values(mode(0o600)))])
        // An extended attribute is kept, and all before it.
        refused(first, [(1, .change(mode(0o700)), .done), (1, .setExtended("a", 1, .any), .done), (1, .lose, nil), (2, .show, .values(mode(0o600)))])
    }

    @Test func extendedAttributes() {
        let start: [Step] = [(1, .setExtended("b", 1, .create), .done), (2, .setExtended("a", 2, .any), .done)]
        accepted(
                start, [
                    (1, .names, .names(["a", "b"])), (1, .extended("a"), .value(2)), (1, .setExtended("a", 3, .create), .failed(EEXIST)),
                    (1, .setExtended("c", 3, .replace), .failed(ENODATA)), (2, .removeExtended("a"), .done), (1, .extended("a"), .failed(ENODATA)),
                    (1, .removeExtended("a"), .failed(ENODATA)),
                ])
        refused(start, [(1, .names, .names(["a"]))])
        refused(start, [(1, .extended("a"), .value(1))])
        refused(start, [(1, .extended("a"), .failed(ENODATA))])
        refused(start, [(1, .lose, nil), (2, .lose, nil), (1, .names, .names([]))])
        refused(start, [(1, .setExtended("a", 3, .create), .done)])
        accepted(start, [(1, .removeExtended("a"), nil), (2, .extended("a"), .value(2)), (2, .extended("a"), .failed(ENODATA))])
    }
}
