import CUV

/// Readiness of one non-blocking descriptor on the process's event loop (uv_poll_t). Does not own the descriptor.
@LoopActor
final class PollHandle {
    /// Called with whether the descriptor is readable and writable; errors and hang-ups count as both.
    var onEvent: (@LoopActor (_ readable: Bool, _ writable: Bool) -> Void)?
    private var handle: UnsafeMutablePointer<uv_poll_t>?
    private var watched: (reads: Bool, writes: Bool) = (false, false)

    /// nil if the descriptor cannot be polled.
    init?(_ descriptor: Int32) {
        let handle = UnsafeMutablePointer<uv_poll_t>.allocate(capacity: 1)
        guard uv_poll_init(EventLoop.shared.uv, handle, descriptor) == 0 else {
            handle.deallocate()
            return nil
        }
        handle.pointee.data = Unmanaged.passUnretained(self).toOpaque()
        self.handle = handle
    }

    /// Watches for the given events from now on, and for no others.
    func watch(reads: Bool, writes: Bool) {
        guard let handle, watched != (reads, writes) else { return }
        watched = (reads, writes)
        EventLoop.shared.noteWatchesChanged()
        guard reads || writes else {
            uv_poll_stop(handle)
            return
        }
        let events = (reads ? Int32(UV_READABLE.rawValue) : 0) | (writes ? Int32(UV_WRITABLE.rawValue) : 0)
        uv_poll_start(handle, events) { handle, status, events in
            guard let data = handle?.pointee.data else { return }
            let this = Unmanaged<PollHandle>.fromOpaque(data).takeUnretainedValue()
            LoopActor.assumeIsolated {
                // After an error libuv has stopped watching (uv_poll_start, libuv documentation).
                if status < 0 { this.watched = (false, false) }
                this.onEvent?(
                    status < 0 || events & Int32(UV_READABLE.rawValue) != 0, status < 0 || events & Int32(UV_WRITABLE.rawValue) != 0)
            }
        }
    }

    /// Stops watching; the descriptor may be closed right afterwards.
    func close() {
        onEvent = nil
        guard let handle else { return }
        self.handle = nil
        handle.pointee.data = nil
        EventLoop.shared.noteWatchesChanged()
        handle.withMemoryRebound(to: uv_handle_t.self, capacity: 1) { plain in
            uv_close(plain) { UnsafeMutableRawPointer($0)?.deallocate() }
        }
    }

    isolated deinit { close() }
}
