import Blocks
import Bytes
import Metadata
import Model
import Ring
import Runtime
import Transport
import Wire

/// Hands each request to the service that owns it. Permission was checked by the transport before.
@LoopActor
final class RequestRouter {
    /// Set when everything is put together; requests before that are told to come back.
    weak var services: NodeServices?

    func handle(_ kind: RequestKind, _ message: Message, _ channel: any Channel) async throws(TransportError) -> Message {
        guard let services else { throw TransportError(.unavailable, "the daemon is starting") }
        if let node = channel.peer.node { services.membership.heard(node) }
        switch kind {
        case .raft, .raftSnapshot, .metadataSessionOpen, .metadataSessionRenew, .metadataSessionClose, .metadataQuery, .metadataCommand, .metadataLease, .metadataLock,
            .metadataScan:
            return try await services.metadata.handle(kind, message, channel)
        case .blockPut, .blockReplicate, .blockGet, .blockProbe, .blockDelete, .blockList, .blockCheck, .blockPullFrom, .blockLocate:
            return try await services.blocks.handle(kind, message, from: channel.peer.role)
        case .probe: return try await services.membership.handle(message)
        case .status:
            if let status = await services.describe?() { return Message(body: status.encoded) }
            return Message(body: await services.status().encoded)
        case .layout: return Message(body: services.layouts.rings.layouts.encoded)
        case .join:
            guard let admit = services.admit else { throw TransportError(.unavailable, "this daemon admits nobody") }
            return try await admit(message)
        case .metadataRecall, .metadataLockGranted: throw TransportError(.unavailable, "this daemon has no leases")
        }
    }
}
