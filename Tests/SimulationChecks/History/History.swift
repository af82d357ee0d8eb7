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

    /// Adds a complete operation; for tests, and for what a recorder knows from elsewhere.
    package func add(_ operation: Operation<Call, Outcome>) { operations.append(operation) }
}
