import Blocks
import Daemon
import Metadata
import Model
import Namespace
import Ring
import Runtime

/// `dhtfs locate`.
enum LocateCommand {
    static let command = Command(
        name: "locate", summary: "show the blocks of a file: keys, ranges, and the nodes that hold them", operands: ["PATH"], flags: [.data, .config, .set, .json],
        details: "A node in parentheses should hold the block by the ring, but does not have it or does not answer.", run: run)

    private struct Place {
        var extent: Extent
        /// By the ring, in order, with whether the node has the block.
        var replicas: [(node: NodeID, has: Bool)]
    }

    @LoopActor private static func run(_ arguments: Arguments) async throws(DaemonError) -> Int32 {
        let client = try ClientStack(try Settings(arguments))
        let tree = try await Tree(client)
        let result: Result<Int32, DaemonError>
        do throws(DaemonError) { result = .success(try await show(arguments, client, tree)) } catch { result = .failure(error) }
        await tree.close()
        return try result.get()
    }

    @LoopActor private static func show(_ arguments: Arguments, _ client: ClientStack, _ tree: Tree) async throws(DaemonError) -> Int32 {
        let path = arguments.operands[0]
        let found = try await tree.find(path)
        guard found.kind == .file else { throw DaemonError(.system, "\(path) is a \(found.kind); only files have blocks") }
        let reply: QueryReply
        do throws(MetadataError) {
            reply = try await tree.metadata.query(.content(found.inode, offset: 0, length: max(1, found.size)))
        } catch { throw DaemonError(.cluster, error.cause) }
        guard case .content(let content, _) = reply.answer else { throw DaemonError(.cluster, "\(path) changed under our hands; try again") }
        switch content {
        case .inline(let bytes):
            if arguments.isOn("--json") {
                let json = JSON.object([("path", .string(path)), ("size", .count(found.size)), ("inline", .integer(Int64(bytes.count))), ("blocks", .array([]))])
                Terminal.print(json.text)
            } else {
                Terminal.print("\(path): \(bytes.count) bytes lie in the inode itself, on every voter of the metadata service; no blocks")
            }
        case .extents(let extents):
            let places = await locate(extents, client)
            if arguments.isOn("--json") { Terminal.print(json(path, found, places).text) } else { show(path, found, places) }
        }
        return 0
    }

    @LoopActor private static func locate(_ extents: [Extent], _ client: ClientStack) async -> [Place] {
        let ring = client.services.layouts.current
        var places: [Place] = []
        var known: [NodeID: Set<Int>] = [:]
        for (index, extent) in extents.enumerated() {
            places.append(Place(extent: extent, replicas: ring.successors(of: extent.key).map { ($0, false) }))
            for replica in places[index].replicas { known[replica.node, default: []].insert(index) }
        }
        for (node, indexes) in known {
            var rest = indexes.sorted()[...]
            while !rest.isEmpty {
                let part = Array(rest.prefix(BlockKeysRequest.keysMax))
                rest = rest.dropFirst(part.count)
                guard let lengths = try? await client.services.replicas.probe(part.map { extents[$0].key }, on: node, timeout: 3 * Nanoseconds.second) else { continue }
                for (index, length) in zip(part, lengths) where length > 0 {
                    for position in places[index].replicas.indices where places[index].replicas[position].node == node {
                        places[index].replicas[position].has = true
                    }
                }
            }
        }
        return places
    }

    private static func show(_ path: String, _ found: Attributes, _ places: [Place]) {
        Terminal.print("\(path): \(Terminal.bytes(found.size)), \(places.count) \(places.count == 1 ? "extent" : "extents")")
        var rows = [["OFFSET", "LENGTH", "BLOCK", "NODES"]]
        for place in places {
            let nodes = place.replicas.map { $0.has ? "\($0.node)" : "(\($0.node))" }.joined(separator: " ")
            rows.append(["\(place.extent.offset)", "\(place.extent.length)", "\(place.extent.key)", nodes])
        }
        Terminal.print(Terminal.table(rows))
    }

    private static func json(_ path: String, _ found: Attributes, _ places: [Place]) -> JSON {
        .object([
            ("path", .string(path)), ("size", .count(found.size)),
            (
                "blocks",
                .array(
                    places.map { place in
                        .object([
                            ("offset", .count(place.extent.offset)), ("length", .integer(Int64(place.extent.length))), ("key", .string("\(place.extent.key)")),
                            ("block_length", .integer(Int64(place.extent.blockLength))), ("block_offset", .integer(Int64(place.extent.blockOffset))),
                            ("nodes", .array(place.replicas.filter(\.has).map { .string("\($0.node)") })),
                            ("absent_from", .array(place.replicas.filter { !$0.has }.map { .string("\($0.node)") })),
                        ])
                    })
            ),
        ])
    }
}
