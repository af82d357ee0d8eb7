import Digest
import Model
import Namespace
import OrderedStore
import RocksStore
import Testing

/// Long random command sequences.
@Suite struct ReplicaTests {
    /// Both stores give the same outcomes and the same rows, and the state stays sound.
    @Test(arguments: [11, 12, 13] as [UInt64])
    func replicasAreIdentical(seed: UInt64) throws {
        let directory = try TemporaryDirectory()
        let memory = try Tree()
        let rocks = try Tree(try RocksStore(directory: directory.path + "/store"))
        var commands = RandomCommands(seed: seed)
        var succeeded = 0
        for step in 0..<1500 {
            commands.inodes = memory.namespace.statistics.nextInode
            let proposals = (0..<commands.random(5)).map { _ in commands.next() }
            let outcomes = try memory.run(proposals)
            #expect(try rocks.run(proposals) == outcomes)
            succeeded += outcomes.count { $0.error == nil }
            try #require(memory.namespace.digest == rocks.namespace.digest, "step \(step)")
            if step % 50 == 0 { try memory.expectSound() }
            if step % 500 == 499 { try rocks.namespace.flush() }
        }
        #expect(succeeded > 500)
        #expect(try dump(memory.store) == dump(rocks.store))
        try rocks.reload()
        #expect(rocks.namespace.digest == memory.namespace.digest)
        try rocks.expectSound()
    }

    /// A crash to the last flush and the log from there on give the same state.
    @Test(arguments: [21, 22] as [UInt64])
    func crashAndReplay(seed: UInt64) throws {
        var commands = RandomCommands(seed: seed)
        let log = (0..<600).map { _ in (0..<commands.random(4)).map { _ in commands.next() } }
        let straight = try Namespace(store: MemoryStore())
        let store = MemoryStore()
        var crashing = try Namespace(store: store)
        var digests: [UInt64: BlockKey] = [:]
        for (place, proposals) in log.enumerated() {
            _ = try straight.apply(proposals, index: UInt64(place) + 1, term: 1)
            digests[UInt64(place) + 1] = straight.digest
        }
        var crashes = 0
        while crashing.appliedIndex < UInt64(log.count) {
            let next = Int(crashing.appliedIndex)
            _ = try crashing.apply(log[next], index: UInt64(next) + 1, term: 1)
            #expect(crashing.digest == digests[UInt64(next) + 1])
            if commands.random(20) == 0 { try crashing.flush() }
            if crashes < 40, commands.random(15) == 0 {
                store.crash()
                crashing = try Namespace(store: store)
                crashes += 1
            }
        }
        #expect(crashes == 40)
        #expect(crashing.digest == straight.digest)
        #expect(try Invariants.check(store).isEmpty)
    }
}
