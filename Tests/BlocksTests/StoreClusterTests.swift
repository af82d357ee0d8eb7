import BlockStore
import Blocks
import Bytes
import Digest
import Model
import Runtime
import Testing
import TestSupport

/// All of it together: client, connections, coordinator, stores, failure detector, resync queue.
@Suite(.serialized) @LoopActor struct StoreClusterTests {
    func holders(_ cluster: StoreCluster, _ key: BlockKey) throws -> Int {
        try cluster.daemons.filter { try $0.store.contains(key) }.count
    }

    @Test func whatIsPutCanBeReadAndSurvivesTheLossOfPowerEverywhere() async throws {
        let cluster = try await StoreCluster(3, seed: 21)
        let client = cluster.client
        var contents: [BlockKey: [UInt8]] = [:]
        for size in [1, 4096, 100_000] {
            let content = cluster.world.random.bytes(size)
            let slice = Slice(copying: content)
            contents[try await cluster.drive { try await client.put(slice) }] = content
        }
        for daemon in cluster.daemons { await daemon.crash(cluster.world) }
        for position in cluster.daemons.indices { try await cluster.restart(position) }
        for (key, content) in contents {
            let read = try await cluster.drive { try await client.get(key, length: content.count, offset: 0, count: content.count).array }
            #expect(read == content)
        }
        await cluster.stop()
    }

    @Test func aDaemonThatWasAwayCatchesUp() async throws {
        let cluster = try await StoreCluster(3, seed: 22)
        let client = cluster.client
        await cluster.world.clock.advance(by: 3 * Nanoseconds.second)
        await cluster.daemons[2].crash(cluster.world)
        var keys: [BlockKey] = []
        for _ in 0..<10 {
            let slice = Slice(copying: cluster.world.random.bytes(2000))
            keys.append(try await cluster.drive { try await client.put(slice) })
        }
        await cluster.world.clock.advance(by: 30 * Nanoseconds.second)
        for key in keys { #expect(try holders(cluster, key) >= 2) }
        let waiting = cluster.daemons.prefix(2).reduce(0) { $0 + $1.resync.status.length }
        #expect(waiting == 10)
        try await cluster.restart(2)
        await cluster.world.clock.advance(by: 20 * Nanoseconds.second)
        for key in keys { #expect(try cluster.daemons[2].store.contains(key)) }
        #expect(cluster.daemons.allSatisfy { $0.resync.status.length == 0 })
        await cluster.stop()
    }

    @Test func aFlippedByteOnOneDiskIsNeverSeenAndIsMended() async throws {
        let cluster = try await StoreCluster(3, seed: 23)
        let client = cluster.client
        let content = cluster.world.random.bytes(50_000)
        let slice = Slice(copying: content)
        let key = try await cluster.drive { try await client.put(slice) }
        await cluster.world.clock.advance(by: Nanoseconds.second)
        #expect(try holders(cluster, key) == 3)
        // The mount's own daemon, which is asked first.
        let disk = cluster.daemons[0].disk
        for path in disk.files where (disk.content(path)?.count ?? 0) > 30_000 { disk.corrupt(path) { $0[30_000] ^= 0x10 } }
        let conditions = try await cluster.drive {
            try await cluster.tool.check([key], on: NodeID(rawValue: 1), timeout: Nanoseconds.second)
        }
        #expect(conditions == [.corrupt])
        let read = try await cluster.drive { try await client.get(key, length: content.count, offset: 0, count: content.count).array }
        #expect(read == content)
        await cluster.world.clock.advance(by: 5 * Nanoseconds.second)
        let mended = try await cluster.drive { try await cluster.tool.check([key], on: NodeID(rawValue: 1), timeout: Nanoseconds.second) }
        #expect(mended == [.good])
        await cluster.stop()
    }
}
