import Blocks
import Bytes
import Metadata
import Model
import Runtime
import Transport
import Wire

/// Hands each request to the service that owns it. Permission was checked by the transport before.
@LoopActor
final class RequestRouter {
    /// Set when everything is put together; requests before that are told to come back.
    weak var daemon: DaemonService?

    func handle(_ kind: RequestKind, _ message: Message, _ channel: any Channel) async throws(TransportError) -> Message {
        guard let daemon else { throw TransportError(.unavailable, "the daemon is starting") }
        if let node = channel.peer.node { daemon.membership.heard(node) }
        switch kind {
        case .raft, .raftSnapshot, .metadataSessionOpen, .metadataSessionRenew, .metadataSessionClose, .metadataQuery, .metadataCommand, .metadataLease,
            .metadataScan:
            return try await daemon.metadata.handle(kind, message, channel)
        case .blockPut, .blockReplicate, .blockGet, .blockProbe, .blockDelete, .blockList, .blockCheck, .blockPullFrom, .blockLocate:
            return try await daemon.blocks.handle(kind, message)
        case .probe: return try await daemon.membership.handle(message)
        case .status: return Message(body: await daemon.status().encoded)
        case .join: return try await daemon.admit(message)
        case .metadataRecall: throw TransportError(.unavailable, "this daemon has no leases")
        }
    }
}
