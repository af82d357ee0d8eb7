import CUV

/// Calls a closure on the loop when the process gets a signal (uv_signal_t). Watched until the process ends.
@LoopActor
package final class Signals {
    private static var watchers: [Signals] = []
    private let handle: UnsafeMutablePointer<uv_signal_t>
    private let body: @LoopActor () -> Void

    private init(_ number: Int32, _ body: @escaping @LoopActor () -> Void) {
        self.body = body
        handle = .allocate(capacity: 1)
        uv_signal_init(EventLoop.shared.uv, handle)
        handle.pointee.data = Unmanaged.passUnretained(self).toOpaque()
        uv_signal_start(
            handle,
            { handle, _ in
                guard let data = handle?.pointee.data else { return }
                let this = Unmanaged<Signals>.fromOpaque(data).takeUnretainedValue()
                LoopActor.assumeIsolated { this.body() }
            }, number)
    }

    /// Calls `body` for each delivery of signal `number`, such as SIGTERM, instead of what the system would do.
    package static func on(_ number: Int32, _ body: @escaping @LoopActor () -> Void) { watchers.append(Signals(number, body)) }
}
