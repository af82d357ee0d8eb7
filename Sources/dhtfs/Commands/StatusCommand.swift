import Blocks
import Bytes
import Daemon
import Model
import Ring
import Runtime
import Transport
import Wire

/// `dhtfs status`.
enum StatusCommand {
    static let command = Command(
        name: "status", summary: "show every node: up or down, disk, blocks, role in the metadata service, copies owed", flags: [.data, .config, .set, .json],
        details: "Exit code 0 if every node answers and the metadata service has a leader, 1 otherwise.", run: run)

    @LoopActor private static func run(_ arguments: Arguments) async throws(DaemonError) -> Int32 {
        let settings = try Settings(arguments)
        let client = try ClientStack(settings)
        let layout = client.services.layouts.current.layout
        let answers = await collect(layout.members, client)
        let leader = answers.compactMap { $0.status?.role == "leader" ? $0.status : nil }.max { $0.term < $1.term }
        let healthy = leader != nil && answers.allSatisfy { $0.status != nil }
        if arguments.isOn("--json") {
            Terminal.print(json(client, layout, answers, leader: leader?.node, healthy: healthy).text)
        } else {
            show(client, layout, answers, leader: leader)
        }
        return healthy ? 0 : 1
    }

    struct NodeAnswer: Sendable {
        var member: LayoutMember
        var status: NodeStatus?
        var failure: String
    }

    /// Asks all nodes at once.
    @LoopActor static func collect(_ members: [LayoutMember], _ client: ClientStack) async -> [NodeAnswer] {
        let questions = members.map { member in
            Task { @LoopActor () -> NodeAnswer in
                do throws(TransportError) {
                    let reply = try await client.services.connections.call(member.node, .status, Message(), timeout: 3 * Nanoseconds.second)
                    guard let status = try? NodeStatus(decoding: reply.body) else {
                        return NodeAnswer(member: member, status: nil, failure: "its answer cannot be read")
                    }
                    return NodeAnswer(member: member, status: status, failure: "")
                } catch { return NodeAnswer(member: member, status: nil, failure: error.cause) }
            }
        }
        var answers: [NodeAnswer] = []
        for question in questions { answers.append(await question.value) }
        return answers.sorted { $0.member.node < $1.member.node }
    }

    private static func show(_ client: ClientStack, _ layout: Layout, _ answers: [NodeAnswer], leader: NodeStatus?) {
        var rows = [["NODE", "ADDRESS", "STATE", "ROLE", "BLOCKS", "STORED", "FREE", "OWED", "MEMORY", "UP"]]
        for answer in answers {
            let address = "\(answer.member.address.host):\(answer.member.address.port)"
            guard let status = answer.status else {
                rows.append(["\(answer.member.node)", address, "down", "-", "-", "-", "-", "-", "-", "-"])
                continue
            }
            rows.append([
                "\(status.node)", address, "up", status.role, "\(status.blocks)", Terminal.bytes(status.liveBytes),
                Terminal.bytes(status.diskAvailableBytes), "\(status.resyncLength)", Terminal.bytes(status.residentBytes),
                Terminal.duration(seconds: status.uptimeSeconds),
            ])
        }
        let up = answers.filter { $0.status != nil }.count
        Terminal.print("cluster \(client.cluster): \(up) of \(answers.count) nodes up, \(layout.effectiveReplicas) copies of each block, layout \(layout.version)")
        if let leader {
            Terminal.print(
                "metadata: leader \(leader.node), term \(leader.term), voters \(leader.voters.count), applied \(leader.appliedIndex), sessions \(leader.sessions), locks \(leader.locks), waiting for locks \(leader.lockWaits)")
        } else {
            Terminal.print("metadata: NO LEADER: operations wait until a majority of the voters is up")
        }
        Terminal.print("\n" + Terminal.table(rows))
        for answer in answers where answer.status == nil { Terminal.print("node \(answer.member.node) is down: \(answer.failure)") }
        for answer in answers {
            if let status = answer.status, status.quarantinedBlocks > 0 {
                Terminal.print("node \(status.node) holds \(status.quarantinedBlocks) bad copies; run `dhtfs verify --deep --repair`")
            }
        }
    }

    private static func json(_ client: ClientStack, _ layout: Layout, _ answers: [NodeAnswer], leader: NodeID?, healthy: Bool) -> JSON {
        .object([
            ("cluster", .string("\(client.cluster)")), ("healthy", .boolean(healthy)), ("layout", .count(layout.version)),
            ("replicas", .integer(Int64(layout.effectiveReplicas))), ("leader", leader.map { .string("\($0)") } ?? .null),
            ("nodes", .array(answers.map(json))),
        ])
    }

    private static func json(_ answer: NodeAnswer) -> JSON {
        var members: [(String, JSON)] = [
            ("node", .string("\(answer.member.node)")), ("address", .string("\(answer.member.address.host):\(answer.member.address.port)")),
            ("state", .string(answer.status == nil ? "down" : "up")),
        ]
        guard let status = answer.status else { return .object(members + [("failure", .string(answer.failure))]) }
        members += [
            ("role", .string(status.role)), ("term", .count(status.term)), ("committed", .count(status.committedIndex)), ("applied", .count(status.appliedIndex)),
            ("voters", .array(status.voters.map { .string("\($0)") })), ("sessions", .count(status.sessions)), ("leases", .count(status.leases)), ("locks", .count(status.locks)),
            ("lock_waits", .count(status.lockWaits)),
            ("blocks", .count(status.blocks)), ("live_bytes", .count(status.liveBytes)), ("dead_bytes", .count(status.deadBytes)),
            ("quarantined_blocks", .count(status.quarantinedBlocks)), ("disk_total_bytes", .count(status.diskTotalBytes)),
            ("disk_available_bytes", .count(status.diskAvailableBytes)), ("resync_length", .count(status.resyncLength)),
            ("resync_oldest_seconds", .count(status.resyncOldestSeconds)), ("resident_bytes", .count(status.residentBytes)),
            ("uptime_seconds", .count(status.uptimeSeconds)), ("program", .string(status.program)),
            (
                "sees",
                .array(
                    status.members.map {
                        .object([
                            ("node", .string("\($0.node)")), ("state", .string($0.state)), ("since_seconds", .count($0.sinceSeconds)),
                            ("round_trip_us", .count($0.roundTripMicroseconds)),
                        ])
                    })
            ),
        ]
        return .object(members)
    }
}
