import CUV
import Glibc

/// Addresses of a host name, looked up on libuv's threads (getaddrinfo(3)).
@LoopActor
final class NameLookup {
    /// The result, freed with the last reference.
    final class Addresses {
        let first: UnsafeMutablePointer<addrinfo>
        private let isFromUV: Bool

        fileprivate init(first: UnsafeMutablePointer<addrinfo>, isFromUV: Bool) {
            self.first = first
            self.isFromUV = isFromUV
        }

        deinit { if isFromUV { uv_freeaddrinfo(first) } else { freeaddrinfo(first) } }

        /// At most four, in the system's order of preference.
        var entries: [UnsafeMutablePointer<addrinfo>] {
            var result: [UnsafeMutablePointer<addrinfo>] = []
            var next: UnsafeMutablePointer<addrinfo>? = first
            while let entry = next, result.count < 4 {
                result.append(entry)
                next = entry.pointee.ai_next
            }
            return result
        }
    }

    private let request: UnsafeMutablePointer<uv_getaddrinfo_t> = .allocate(capacity: 1)
    private var continuation: UnsafeContinuation<Void, Never>?
    private var status: Int32 = 0
    private var addresses: Addresses?

    private init() {}

    isolated deinit { request.deallocate() }

    /// - Parameter timeout: nanoseconds.
    static func addresses(of host: String, port: UInt16, timeout: UInt64) async throws(NetworkError) -> Addresses {
        if let numeric = now(host, port: port, flags: Int32(AI_NUMERICHOST)) { return numeric }
        let lookup = NameLookup()
        let limit = SystemClock.shared.schedule(after: timeout) { lookup.finish(UV_ETIMEDOUT.rawValue, nil) }
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            lookup.continuation = continuation
            lookup.start(host, port: port)
        }
        limit.cancel()
        guard let addresses = lookup.addresses else {
            if lookup.status == UV_ETIMEDOUT.rawValue { throw NetworkError(.timedOut, "looking up \(host) takes too long") }
            throw NetworkError(.unreachable, "cannot look up \(host): \(String(cString: uv_strerror(lookup.status)))")
        }
        return addresses
    }

    /// Asks on the calling thread: for numeric addresses, and for a listener's own address at start.
    static func now(_ host: String, port: UInt16, flags: Int32) -> Addresses? {
        var hints = Self.hints
        hints.ai_flags = flags
        var result: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host.isEmpty ? nil : host, String(port), &hints, &result) == 0, let result else { return nil }
        return Addresses(first: result, isFromUV: false)
    }

    private static var hints: addrinfo {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        return hints
    }

    private func start(_ host: String, port: UInt16) {
        request.pointee.data = Unmanaged.passRetained(self).toOpaque()
        var hints = Self.hints
        let error = uv_getaddrinfo(
            EventLoop.shared.uv, request,
            { request, status, result in
                guard let data = request?.pointee.data else { return }
                let lookup = Unmanaged<NameLookup>.fromOpaque(data).takeRetainedValue()
                let addresses = result.map { Addresses(first: $0, isFromUV: true) }
                LoopActor.assumeIsolated { lookup.finish(status, addresses) }
            }, host, String(port), &hints)
        if error != 0 {
            Unmanaged.passUnretained(self).release()
            finish(error, nil)
        }
    }

    private func finish(_ status: Int32, _ addresses: sending Addresses?) {
        guard let continuation else { return }
        self.continuation = nil
        self.status = status
        self.addresses = addresses
        continuation.resume()
    }
}
