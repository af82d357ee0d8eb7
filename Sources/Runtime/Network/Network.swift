package import Model

/// Connections between processes, as the layers above see them. The real network authenticates both sides (TLS 1.3 with
/// certificates over TCP, peer credentials on Unix sockets) before a stream is handed out.
@LoopActor
package protocol Network: AnyObject, Sendable {
    /// Accepts streams at `endpoint` until the listener is closed. Peers that fail authentication never reach `accept`.
    func listen(at endpoint: Endpoint, accept: @escaping @LoopActor (any ByteStream) -> Void) throws(NetworkError) -> any Listener

    /// Opens an authenticated stream. Fails with `.timedOut` after `timeout` nanoseconds.
    /// - Parameter expecting: the daemon that must be at the other end; nil accepts any daemon of the cluster.
    func connect(to endpoint: Endpoint, expecting: NodeID?, timeout: UInt64) async throws(NetworkError) -> any ByteStream
}

/// Where a stream begins or ends.
package enum Endpoint: Hashable, Sendable, CustomStringConvertible {
    case tcp(host: String, port: UInt16)
    /// Absolute path of a Unix socket.
    case unix(path: String)

    package var description: String {
        switch self {
        case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): path
        }
    }
}

@LoopActor
package protocol Listener: AnyObject, Sendable {
    /// The endpoint with the port that the system chose, if it was asked to.
    var endpoint: Endpoint { get }
    /// Stops accepting. Streams already accepted live on. Removes the file of a Unix socket.
    func close()
}

/// A reliable, ordered, authenticated stream of bytes in both directions. Non-blocking.
@LoopActor
package protocol ByteStream: AnyObject, Sendable {
    var peer: Peer { get }
    /// Called when bytes may be read, and once when the stream ended. Set it before returning to the loop. It stays armed
    /// while the reader has not read until `.wouldBlock`.
    var onReadable: (@LoopActor () -> Void)? { get set }
    /// Called once after `write` accepted less than it was given, when it is worth trying again.
    var onWritable: (@LoopActor () -> Void)? { get set }
    /// Reads what is there, at most `target.count` bytes.
    func read(into target: UnsafeMutableRawBufferPointer) -> StreamReadOutcome
    /// Writes as much of `parts`, in order, as can be taken without waiting. Returns the number of bytes taken, which may be 0;
    /// nil if the stream is broken. After less than all was taken the next call must begin with the bytes that were not (SSL_write(3)).
    func write(_ parts: [UnsafeRawBufferPointer]) -> Int?
    /// Ends the stream. Neither callback is called afterwards.
    func close()
}

package enum StreamReadOutcome: Equatable, Sendable {
    /// So many bytes, at least 1, were read.
    case bytes(Int)
    case wouldBlock
    /// The other side is done or the stream is broken.
    case ended
}

/// What can go wrong with the network.
package struct NetworkError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// Nobody there: refused, no route, no such socket, name unknown.
        case unreachable
        case timedOut
        /// Certificate wrong, expired, of another cluster, or of another node than expected; or a Unix peer without permission.
        case notAuthentic
        /// The address is in use or not of this machine.
        case cannotListen
        /// The stream ended.
        case closed
    }

    package var code: Code
    /// One line for a person.
    package var cause: String

    package init(_ code: Code, _ cause: String) {
        self.code = code
        self.cause = cause
    }

    package var description: String { cause }
}
