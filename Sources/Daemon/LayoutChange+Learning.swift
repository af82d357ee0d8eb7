import Bytes
import Model
import Ring
import Runtime
import Transport
import Wire

extension LayoutChange {
    /// How long one daemon may take to tell what it knows, in nanoseconds.
    private static let answerLimit = 2 * Nanoseconds.second

    /// Asks daemons for the layout that they know, one after the other, and returns the newest; nil if nobody answers. Unlike the layout on record it
    /// can be had without the metadata leader, and so tells where the leader is if only members are known that were there before it.
    @LoopActor
    static func known(to nodes: [NodeID], _ requests: any RequestClient) async -> LayoutHistory? {
        var newest: LayoutHistory?
        for node in nodes {
            guard let reply = try? await requests.call(node, .layout, Transport.Message(), timeout: answerLimit),
                let history = try? LayoutHistory(decoding: reply.body), history.current.version > newest?.current.version ?? 0
            else { continue }
            newest = history
        }
        return newest
    }
}
