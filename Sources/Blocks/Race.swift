import Model
import Runtime

/// Asks daemons one after the other for the same thing; the first answer wins. The next one is asked when one has failed, and also
/// when those that were asked take longer than the hedge delay (Dean and Barroso, "The Tail at Scale", 2013).
@LoopActor
final class Race<Value: Sendable> {
    typealias Attempt = @LoopActor (NodeID) async -> Result<Value, ReplicaError>

    enum Outcome {
        case won(Value, by: NodeID)
        /// Nobody could. Empty only if there was nobody to ask.
        case lost([(node: NodeID, error: ReplicaError)])
    }

    private enum Event {
        case finished(NodeID, Result<Value, ReplicaError>)
        case late
    }

    private let clock: any Clock
    private let attempt: Attempt
    private var events: [Event] = []
    private var waiter: UnsafeContinuation<Void, Never>?
    private var isOver = false

    /// - Parameter attempt: goes on to its end even if the race is over before; its result is then dropped.
    init(clock: any Clock, attempt: @escaping Attempt) {
        self.clock = clock
        self.attempt = attempt
    }

    /// Runs once.
    /// - Parameters:
    ///   - hedgeDelay: nanoseconds; doubles with each time it passed.
    ///   - together: how many may be asked at the same time.
    ///   - isFinal: an error after which asking others makes no sense.
    ///   - onLate: told of each daemon that has not answered when the hedge delay has passed.
    func run(
        _ nodes: [NodeID], hedgeDelay: UInt64, together: Int, isFinal: (ReplicaError) -> Bool = { _ in false },
        onLate: (NodeID) -> Void = { _ in }
    ) async -> Outcome {
        var rest = nodes[...]
        var outstanding: [NodeID] = []
        var errors: [(node: NodeID, error: ReplicaError)] = []
        var delay = hedgeDelay
        defer { isOver = true }
        while true {
            if outstanding.isEmpty {
                guard let node = rest.popFirst() else { return .lost(errors) }
                start(node)
                outstanding.append(node)
            }
            var timer: (any TimerHandle)?
            if !rest.isEmpty, outstanding.count < together { timer = clock.schedule(after: delay) { self.post(.late) } }
            let event = await next()
            timer?.cancel()
            switch event {
            case .finished(let node, .success(let value)):
                return .won(value, by: node)
            case .finished(let node, .failure(let error)):
                outstanding.removeAll { $0 == node }
                errors.append((node, error))
                if isFinal(error) { return .lost(errors) }
                if let next = rest.popFirst() {
                    start(next)
                    outstanding.append(next)
                }
            case .late:
                for node in outstanding { onLate(node) }
                guard outstanding.count < together, let node = rest.popFirst() else { break }
                delay = min(delay.multipliedReportingOverflow(by: 2).partialValue, 60 * Nanoseconds.second)
                start(node)
                outstanding.append(node)
            }
        }
    }

    private func start(_ node: NodeID) {
        Task { @LoopActor in
            let result = await attempt(node)
            post(.finished(node, result))
        }
    }

    private func post(_ event: Event) {
        guard !isOver else { return }
        events.append(event)
        if let waiter {
            self.waiter = nil
            waiter.resume()
        }
    }

    private func next() async -> Event {
        while true {
            if !events.isEmpty { return events.removeFirst() }
            await withUnsafeContinuation { waiter = $0 }
        }
    }
}
