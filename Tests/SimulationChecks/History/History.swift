package import Runtime

/// The calls on one object, as they are made.
@LoopActor
package final class History<Call: Sendable, Outcome: Sendable> {
    package private(set) var operations: [Operation<Call, Outcome>] = []
    private let recorder: Recorder

    package init(_ recorder: Recorder) { self.recorder = recorder }

    /// Notes a call; until `end` nobody knows whether it happens.
    package func begin(_ client: ClientID, _ call: Call) -> Int {
        operations.append(Operation(client: client, call: call, outcome: nil, called: recorder.stamp(), returned: nil))
        return operations.count - 1
    }

    /// Notes what a call returned. nil: an error that leaves open whether it happened.
    /// - Parameter provesSession: the answer was only possible with a session that was alive within the call.
    package func end(_ operation: Int, _ outcome: Outcome?, provesSession: Bool = true) {
        operations[operation].outcome = outcome
        guard outcome != nil else { return }
        operations[operation].returned = recorder.stamp()
        if provesSession { recorder.noteAlive(operations[operation].client, operations[operation].called) }
    }

    package func change(_ operation: Int, to call: Call) { operations[operation].call = call }

    /// The operations as far as they bind: changes that their callers were told of, but that were not durable when their client died or lost its session,
    /// may have happened or not, but in their order. What such a client was shown after the first of them, and what failed, may rest on it.
    /// - Parameters:
    ///   - isBehind: whether a call may return before it is durable.
    ///   - isDurable: whether a call that has succeeded is durable, whenever it returned: it may return after the loss.
    ///   - undecided: a call of which it is open whether it happened, with what its outcome tells of what it did then.
    package func operations(
        writtenBehind isBehind: (Call) -> Bool, durable isDurable: (Call) -> Bool = { _ in false }, changes: (Call) -> Bool,
        hasFailed: (Outcome) -> Bool, undecided: (Call, Outcome) -> Call = { call, _ in call }
    ) -> [Operation<Call, Outcome>] {
        var result = operations
        for (number, loss) in recorder.losses.enumerated() where loss.cause != .dropped {
            let durable = recorder.durable(loss)
            func isLate(_ operation: Operation<Call, Outcome>) -> Bool {
                guard operation.client == loss.client, let returned = operation.returned else { return false }
                return returned > durable && operation.called < loss.noticed
            }
            guard let first = result.first(where: { isLate($0) && isBehind($0.call) && !($0.outcome.map(hasFailed) ?? true) }) else { continue }
            result = result.compactMap { operation in
                guard isLate(operation), operation.called >= first.called, let outcome = operation.outcome else { return operation }
                guard changes(operation.call), !hasFailed(outcome) else { return nil }
                guard !isDurable(operation.call) else { return operation }
                // One that was refused is no end: what came after it may have happened.
                let lost = loss.cause == .names ? nil : operation.returned.map { (number, $0) }
                return Operation(
                    client: operation.client, call: undecided(operation.call, outcome), outcome: nil, called: operation.called, returned: nil, lost: lost)
            }
        }
        return result
    }

    /// Adds a complete operation; for tests, and for what a recorder knows from elsewhere.
    package func add(_ operation: Operation<Call, Outcome>) { operations.append(operation) }
}
