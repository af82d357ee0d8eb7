package import Runtime

/// What was done in one area of a run, and the judgement about it.
@LoopActor
package protocol Ledger: AnyObject, Sendable {
    /// Reads what there is in the end, and notes it.
    func readFinal(_ reader: FinalReader) async
    /// - Parameter bound: configurations that one search may visit.
    func check(bound: Int) -> CheckReport
}
