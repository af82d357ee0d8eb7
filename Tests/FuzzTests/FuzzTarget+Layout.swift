import Bytes
import Digest
import Model
import Ring

extension FuzzTarget {
    /// The ring's layouts as they stand in the cluster's records and in data directories, and placement computed from them.
    static let layout = FuzzTarget(
        name: "layout",
        decoders: [
            .codable(NodeAddress.self, NodeAddress(host: "10.0.0.1", port: 7070, machine: "m1", socketPath: "/run/dhtfs.sock")),
            .codable(LayoutMember.self, Layouts.member(1, zone: "a")),
            Decoder("LayoutHistory", seeds: [Layouts.history.encoded], mutations: 300) { bytes throws(Violation) in
                guard let history = try? LayoutHistory(decoding: bytes) else { return }
                try Decoder.checkStable(history)
                try Layouts.place(history)
            },
        ])
}

private enum Layouts {
    static func member(_ number: UInt64, zone: String) -> LayoutMember {
        LayoutMember(
            node: NodeID(rawValue: number), address: NodeAddress(host: "n\(number)", port: 7070, machine: "m", socketPath: ""),
            weight: Int(number), zone: zone)
    }

    static var history: LayoutHistory {
        let members = [member(1, zone: "a"), member(2, zone: "b"), member(3, zone: ""), member(4, zone: "b")]
        guard let first = try? Layout(version: 1, replicas: 2, members: Array(members.prefix(2))),
            let second = try? Layout(version: 3, replicas: 3, members: members)
        else { preconditionFailure("the sample layouts are sound") }
        var history = LayoutHistory(first)
        do throws(RingError) { try history.adopt(second) } catch { preconditionFailure("the versions ascend") }
        return history
    }

    /// Replicas are distinct members, as many as there shall be. Large rings only cost time here.
    static func place(_ history: LayoutHistory) throws(Violation) {
        let layouts = [history.current] + history.earlier
        guard layouts.allSatisfy({ $0.members.reduce(0) { $0 + $1.weight } <= 64 }) else { return }
        let ring = RingHistory(history)
        for key in [someKey, otherKey, BlockKey(words: (0, 0, 0, 0)), BlockKey(words: (.max, .max, .max, .max))] {
            let candidates = ring.candidates(for: key)
            try require(
                candidates.replicas.count == history.current.effectiveReplicas && Set(candidates.replicas).count == candidates.replicas.count,
                "\(candidates.replicas.count) replicas by a layout of \(history.current.effectiveReplicas)")
        }
        _ = ring.current.shares()
        for earlier in ring.earlier.prefix(1) { _ = Ring.plan(from: earlier, to: ring.current) }
    }
}
