import CUV

/// Calls to be made after the loop has looked at its descriptors again: for work that is cut short to be fair and would, as an ordinary
/// job, go on before anything else got its turn.
@LoopActor
final class NextTurn {
    static let shared = NextTurn()

    private let idle: UnsafeMutablePointer<uv_idle_t>
    private var waiting: [@LoopActor () -> Void] = []

    private init() {
        idle = .allocate(capacity: 1)
        uv_idle_init(EventLoop.shared.uv, idle)
        idle.pointee.data = Unmanaged.passUnretained(self).toOpaque()
    }

    func run(_ body: @escaping @LoopActor () -> Void) {
        waiting.append(body)
        guard waiting.count == 1 else { return }
        EventLoop.shared.noteWatchesChanged()
        // An active idle handle also keeps the loop from sleeping.
        uv_idle_start(idle) { handle in
            guard let data = handle?.pointee.data else { return }
            let this = Unmanaged<NextTurn>.fromOpaque(data).takeUnretainedValue()
            LoopActor.assumeIsolated { this.runWaiting() }
        }
    }

    private func runWaiting() {
        let bodies = waiting
        waiting = []
        uv_idle_stop(idle)
        for body in bodies { body() }
    }
}
