import Model
package import Runtime
import Telemetry

/// Accepts channels on any number of endpoints and serves them with one handler.
@LoopActor
package final class RequestServer {
    private let network: any Network
    private let clock: any Clock
    private let settings: ChannelSettings
    private var listeners: [any Listener] = []
    private var open: [ObjectIdentifier: MessageChannel] = [:]
    private var greeting = 0
    private var isClosed = false
    private var whenEmpty: [UnsafeContinuation<Void, Never>] = []

    package init(environment: Environment, settings: ChannelSettings) {
        self.settings = settings
        network = environment.network
        clock = environment.clock
    }

    /// Channels that have greeted and not ended.
    package var channels: [any Channel] { Array(open.values) }

    /// Accepts channels at `endpoint`, too.
    /// - Returns: the endpoint with the port that was chosen for port 0.
    @discardableResult
    package func listen(at endpoint: Endpoint) throws(NetworkError) -> Endpoint {
        let listener = try network.listen(at: endpoint) { [weak self] stream in
            guard let self else { return stream.close() }
            accept(stream)
        }
        listeners.append(listener)
        return listener.endpoint
    }

    /// Stops accepting, says goodbye on all channels, and returns when what was under way is finished, after `limit` nanoseconds at most.
    package func close(within limit: UInt64) async {
        isClosed = true
        for listener in listeners { listener.close() }
        listeners = []
        for channel in open.values { channel.closeOrderly(within: limit) }
        if open.isEmpty { return }
        await withUnsafeContinuation { whenEmpty.append($0) }
    }

    private func accept(_ stream: any ByteStream) {
        guard !isClosed else { return stream.close() }
        guard open.count + greeting < Self.channelsMax else {
            settings.log.warning("connection refused", ["peer": stream.peer.label, "reason": "\(Self.channelsMax) channels are open"])
            return stream.close()
        }
        greeting += 1
        Task { @LoopActor in
            let channel = MessageChannel(stream, clock: self.clock, settings: self.settings, isServer: true)
            do throws(TransportError) {
                try await channel.open(timeout: Self.greetingLimit)
            } catch {
                self.greeting -= 1
                self.settings.log.debug("no channel", ["peer": stream.peer.label, "reason": error.cause])
                return
            }
            self.greeting -= 1
            self.add(channel)
        }
    }

    private func add(_ channel: MessageChannel) {
        let id = ObjectIdentifier(channel)
        open[id] = channel
        channel.onClose { [weak self] in
            guard let self else { return }
            open[id] = nil
            guard open.isEmpty else { return }
            let waiting = whenEmpty
            whenEmpty = []
            for continuation in waiting { continuation.resume() }
        }
        if isClosed { channel.close() }
    }

    private static let channelsMax = 1024
    private static let greetingLimit = 10 * Nanoseconds.second
}
