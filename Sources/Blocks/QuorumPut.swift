import Bytes
import Digest
import Model
import Runtime

/// One put at its coordinator: stores on all replicas at once and knows when a write quorum has the block on disk.
///
/// Replicas that are down are left out while the others are enough for a quorum. Whatever replica does not have the block in the
/// end, although the put was acknowledged, is handed to `onMissed`. A put that failed leaves its copies where they are: the sender
/// tries again, or nothing will refer to them and collection finds them.
@LoopActor
final class QuorumPut {
    /// Stores a copy on one replica.
    typealias Store = @LoopActor (NodeID) async -> Result<Void, ReplicaError>

    enum Outcome {
        case stored
        /// So many replicas have no room that a quorum cannot be had.
        case noSpace(String)
        /// The content does not match the key.
        case mismatch(String)
        /// Too few replicas answer.
        case unavailable(String)
    }

    private let replicas: [NodeID]
    private let quorum: Int
    private let store: Store
    private let onMissed: @LoopActor (NodeID) -> Void
    private let onFinished: @LoopActor () -> Void
    private var spares: [NodeID]
    private var outstanding = 0
    private var stored = 0
    private var failures: [(node: NodeID, error: ReplicaError)] = []
    private var isAcknowledged = false
    private var waiter: UnsafeContinuation<Outcome, Never>?

    /// - Parameters:
    ///   - down: replicas not to be asked unless there is no quorum without them.
    ///   - onMissed: called for each replica without the block, once, only after the put was acknowledged.
    ///   - onFinished: called once, when nothing of the put is under way any more.
    init(
        replicas: [NodeID], down: [NodeID], quorum: Int, store: @escaping Store, onMissed: @escaping @LoopActor (NodeID) -> Void,
        onFinished: @escaping @LoopActor () -> Void
    ) {
        self.replicas = replicas
        #if CANARIES
            self.quorum = Canary.acknowledgesOneCopy.isActive ? 1 : quorum
        #else
            self.quorum = quorum
        #endif
        self.store = store
        self.onMissed = onMissed
        self.onFinished = onFinished
        spares = replicas.filter { down.contains($0) }
    }

    /// Runs once. Returns as soon as the outcome is known; the rest goes on.
    func run() async -> Outcome {
        await withUnsafeContinuation { continuation in
            waiter = continuation
            let first = replicas.filter { !spares.contains($0) }
            outstanding = first.count
            for node in first { start(node) }
            fillUp()
            decide()
        }
    }

    private func start(_ node: NodeID) {
        Task { @LoopActor in
            let result = await store(node)
            finished(node, result)
        }
    }

    private func finished(_ node: NodeID, _ result: Result<Void, ReplicaError>) {
        outstanding -= 1
        switch result {
        case .success:
            stored += 1
        case .failure(let error):
            failures.append((node, error))
            if isAcknowledged { onMissed(node) }
        }
        fillUp()
        decide()
    }

    /// Asks replicas that are down if those asked so far cannot make a quorum.
    private func fillUp() {
        while !isAcknowledged, stored + outstanding < quorum, !spares.isEmpty {
            outstanding += 1
            start(spares.removeFirst())
        }
    }

    private func decide() {
        if let waiter {
            if stored >= quorum {
                isAcknowledged = true
                self.waiter = nil
                for failure in failures { onMissed(failure.node) }
                for node in spares { onMissed(node) }
                waiter.resume(returning: .stored)
            } else if stored + outstanding + spares.count < quorum {
                self.waiter = nil
                waiter.resume(returning: failed())
            }
        }
        if outstanding == 0 { onFinished() }
    }

    private func failed() -> Outcome {
        if let mismatch = failures.first(where: { $0.error.code == .failed(.mismatch) }) { return .mismatch(mismatch.error.cause) }
        let full = failures.filter { $0.error.code == .failed(.noSpace) }
        if let first = full.first, full.count > replicas.count - quorum { return .noSpace(first.error.cause) }
        return .unavailable(failures.map { "\($0.error.cause)" }.joined(separator: "; "))
    }
}
