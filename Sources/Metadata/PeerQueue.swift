import Bytes
import Consensus
import Model
import Runtime
import Transport
import Wire

/// Raft messages on their way to one other server. Never blocks: Raft bears loss, so what does not fit is dropped.
@LoopActor
final class PeerQueue {
    /// Requests without an answer; further messages wait and travel together.
    private static let requestsMax = 8
    private nonisolated static let messagesMax = 512
    private static let batchBytes = 2 << 20
    private static let timeout = 2 * Nanoseconds.second

    private let node: NodeID
    private let requests: any RequestClient
    private let clock: any Clock
    private var waiting: [Consensus.Message] = []
    private var inFlight = 0
    private var isScheduled = false
    /// When it last answered or was heard of.
    private(set) var lastContact: UInt64?
    /// A snapshot is being sent.
    var isReceivingSnapshot = false

    init(node: NodeID, requests: any RequestClient, clock: any Clock) {
        self.node = node
        self.requests = requests
        self.clock = clock
    }

    func heard() { lastContact = clock.now }

    func send(_ message: Consensus.Message) {
        guard waiting.count < Self.messagesMax else { return }
        waiting.append(message)
        schedule()
    }

    /// Sends at the end of the present round of the loop, so that what one step and its successors say goes out together.
    private func schedule() {
        guard !isScheduled, inFlight < Self.requestsMax, !waiting.isEmpty else { return }
        isScheduled = true
        Task { @LoopActor in
            self.isScheduled = false
            await self.flush()
        }
    }

    private func flush() async {
        guard inFlight < Self.requestsMax, !waiting.isEmpty else { return }
        var writer = ByteWriter(reserving: 256)
        var count: UInt32 = 0
        writer.integer(count)
        while Int(count) < waiting.count, count == 0 || writer.count < Self.batchBytes {
            waiting[Int(count)].encode(to: &writer)
            count += 1
        }
        writer.patch(count, at: 0)
        waiting.removeFirst(Int(count))
        inFlight += 1
        if !waiting.isEmpty { schedule() }
        do throws(TransportError) {
            _ = try await requests.call(node, .raft, Transport.Message(body: writer.bytes), timeout: Self.timeout)
            lastContact = clock.now
        } catch {
            // Raft sends again what matters; `status` shows the silence.
        }
        inFlight -= 1
        schedule()
    }

    /// Reads what `flush` wrote.
    nonisolated static func decode(_ body: [UInt8]) throws(DecodeError) -> [Consensus.Message] {
        let result: Result<[Consensus.Message], DecodeError> = body.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            do throws(DecodeError) {
                let messages = try reader.array(max: messagesMax) { inner throws(DecodeError) in try Consensus.Message(from: &inner) }
                try reader.finish()
                return .success(messages)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
