package import Runtime
package import Bytes
package import Model
package import Wire

/// What a request or a reply carries: fields encoded by the module that owns the request, and a bulk part that is never copied.
package struct Message: Sendable {
    package var body: [UInt8]
    /// Block content, received into a page-aligned buffer of its own.
    package var payload: Slice?

    package init(body: [UInt8] = [], payload: Slice? = nil) {
        self.body = body
        self.payload = payload
    }
}

/// An authenticated connection on which both ends may send requests, many at a time.
///
/// Order: requests are handed to the handler, and replies to their callers, as loop jobs in the order in which they arrived. So a
/// caller that stores a reply's content before its next suspension has done so before the handler of a later request starts.
@LoopActor
package protocol Channel: AnyObject, Sendable {
    var peer: Peer { get }
    var isOpen: Bool { get }
    /// Sends a request and waits for the reply. Waits for credit first when the peer's window is full.
    /// - Parameter timeout: nanoseconds; the reply may still arrive later and is dropped.
    func call(_ kind: RequestKind, _ message: Message, timeout: UInt64) async throws(TransportError) -> Message
    /// Called once when the channel has ended, for whatever reason; at once if it has already.
    func onClose(_ body: @escaping @LoopActor () -> Void)
    func close()
}

/// Answers requests. One task per request; the handler may suspend.
package typealias RequestHandler = @LoopActor (_ kind: RequestKind, _ message: Message, _ channel: any Channel) async throws(TransportError) -> Message

/// Sends requests to daemons by id; keeps one channel per daemon and makes it when needed.
@LoopActor
package protocol RequestClient: AnyObject, Sendable {
    /// - Parameter timeout: nanoseconds for everything, connecting included.
    func call(_ node: NodeID, _ kind: RequestKind, _ message: Message, timeout: UInt64) async throws(TransportError) -> Message
    /// An open channel to `node`, for whoever needs to notice that it ends.
    func channel(to node: NodeID, timeout: UInt64) async throws(TransportError) -> any Channel
}

/// What can go wrong with a request.
package struct TransportError: Error, Sendable, CustomStringConvertible {
    package enum Code: UInt16, Sendable {
        /// No connection could be made. The request was not sent.
        case unreachable = 1
        /// No answer in time, or the connection ended while waiting. The request may have been carried out.
        case noAnswer = 2
        /// The peer does not allow this request from us.
        case denied = 3
        /// The peer could not decode the request or its fields are out of range.
        case malformed = 4
        /// The peer cannot serve this now (starting, stopping, overloaded); try another or later. It was not carried out.
        case unavailable = 5
        /// The peer tried and failed; `detail` is the handler's own error, encoded.
        case failed = 6
        /// The certificate is wrong or of another cluster.
        case notAuthentic = 7
    }

    package var code: Code
    package var cause: String
    /// The handler's own error where `code` is `.failed`. At most 64 KiB.
    package var detail: [UInt8]

    package init(_ code: Code, _ cause: String, detail: [UInt8] = []) {
        self.code = code
        self.cause = cause
        self.detail = detail
    }

    /// Whether the request may have been carried out although this was thrown.
    package var mayHaveHappened: Bool { code == .noAnswer }

    package var description: String { cause }
}
