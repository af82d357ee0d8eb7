import Daemon
import Model
import Ring
import Runtime

/// `dhtfs ring`.
enum RingCommand {
    static let command = Command(
        name: "ring", summary: "show the ring: nodes, tokens, shares of the key space, layout version", flags: [.data, .config, .set, .json], run: run)

    @LoopActor private static func run(_ arguments: Arguments) async throws(DaemonError) -> Int32 {
        let client = try ClientStack(try Settings(arguments))
        let layouts = try await client.services.currentLayouts()
        let ring = Ring(layouts.current)
        let shares = ring.shares()
        if arguments.isOn("--json") {
            Terminal.print(json(ring, shares, earlier: layouts.earlier.count).text)
            return 0
        }
        let layout = ring.layout
        Terminal.print("layout \(layout.version): \(layout.members.count) nodes, \(layout.replicas) copies wanted, \(layout.effectiveReplicas) possible, a write waits for \(layout.writeQuorum)")
        Terminal.print("\(ring.tokenCount) tokens, \(ring.replicaSetCount) distinct replica sets; \(layouts.earlier.count) earlier layouts still searched by reads\n")
        var rows = [["NODE", "ADDRESS", "ZONE", "WEIGHT", "TOKENS", "OWNER OF", "HOLDS"]]
        for share in shares {
            guard let member = layout.member(share.node) else { continue }
            rows.append([
                "\(share.node)", "\(member.address.host):\(member.address.port)", member.zone.isEmpty ? "-" : member.zone, "\(member.weight)",
                "\(share.tokens)", Terminal.percent(share.primary), Terminal.percent(share.replica),
            ])
        }
        Terminal.print(Terminal.table(rows))
        return 0
    }

    private static func json(_ ring: Ring, _ shares: [NodeShare], earlier: Int) -> JSON {
        .object([
            ("layout", .count(ring.layout.version)), ("replicas", .integer(Int64(ring.layout.replicas))),
            ("effective_replicas", .integer(Int64(ring.layout.effectiveReplicas))), ("write_quorum", .integer(Int64(ring.layout.writeQuorum))),
            ("tokens", .integer(Int64(ring.tokenCount))), ("replica_sets", .integer(Int64(ring.replicaSetCount))),
            ("earlier_layouts", .integer(Int64(earlier))),
            (
                "nodes",
                .array(
                    shares.compactMap { share in
                        guard let member = ring.layout.member(share.node) else { return nil }
                        return .object([
                            ("node", .string("\(share.node)")), ("address", .string("\(member.address.host):\(member.address.port)")),
                            ("machine", .string(member.address.machine)), ("zone", .string(member.zone)), ("weight", .integer(Int64(member.weight))),
                            ("tokens", .integer(Int64(share.tokens))), ("primary", .number(share.primary)), ("replica", .number(share.replica)),
                        ])
                    })
            ),
        ])
    }
}
