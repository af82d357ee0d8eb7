@testable import Filesystem
import FilesystemWorld
import Model
import Namespace
import Runtime
import TestSupport
import Testing

/// Walks through trees of many directories, as find(1) and ls(1) do them.
@Suite @LoopActor struct TreeWalkTests {
    private static let count = 24

    /// Directories with a few files each, made by the first of two mounts.
    private static func world(files: Int = 3) async throws -> (World, [InodeID]) {
        let world = try World(mounts: 2)
        let maker = world.mounts[0]
        var directories: [InodeID] = []
        for number in 0..<count {
            let directory = try await maker.makeDirectory("d\(number + 100)")
            for file in 0..<files { try await maker.put("f\(file)", [1], in: directory) }
            directories.append(directory)
        }
        try await maker.files.syncAll()
        maker.metadata.loseSession()
        world.leader.resetCounts()
        return (world, directories)
    }

    /// The names in a directory, read as the kernel does it: what comes with attributes it does not look up.
    @discardableResult private func list(_ mount: Mount, _ directory: InodeID, looksUp: Bool) async throws -> [String] {
        let handle = try await mount.files.openDirectory(directory)
        var names: [String] = []
        var position: UInt64 = 0
        while true {
            let items = try await mount.files.readDirectory(directory, handle: handle, position: position, plus: true)
            guard let last = items.last else { break }
            position = last.next
            for item in items where item.name.first != 0x2E {
                names.append(String(decoding: item.name, as: UTF8.self))
                if let entry = item.entry { mount.files.retain(entry.attributes.inode) }
                if looksUp, item.entry == nil { _ = try await mount.files.lookup(directory, item.name) }
            }
        }
        await mount.files.releaseDirectory(directory, handle: handle)
        return names
    }

    private func listings(_ world: World) -> [(directory: InodeID, detail: ListDetail)] {
        world.leader.queries.compactMap { if case .list(let directory, _, _, let detail) = $0 { (directory, detail) } else { nil } }
    }

    @Test func theNextDirectoriesAreListedBeforeTheyAreRead() async throws {
        let (world, directories) = try await Self.world()
        let walker = world.mounts[1]
        try await list(walker, .root, looksUp: true)
        for (index, directory) in directories.enumerated() {
            let before = world.leader.queries.count
            #expect(try await list(walker, directory, looksUp: true) == ["f0", "f1", "f2"])
            if index > 1 { #expect(listings(world).contains { $0.directory == directory }) }
            await settle()
            // After the first two, no directory is asked for when it is read, but others behind it.
            let asked = world.leader.queries[before...].contains { if case .list(directory, _, _, _) = $0 { true } else { false } }
            #expect(asked == (index < 2), "\(index)")
        }
        // Each of them once, and nothing else, as far as attributes are wanted.
        #expect(listings(world).count == directories.count + 1)
        #expect(listings(world).allSatisfy { $0.detail == .attributes })
    }

    @Test func whatChangedSinceItWasListedIsNotShown() async throws {
        let (world, directories) = try await Self.world()
        let walker = world.mounts[1]
        try await list(walker, .root, looksUp: true)
        for directory in directories[..<4] { try await list(walker, directory, looksUp: true) }
        await settle()
        #expect(listings(world).contains { $0.directory == directories[5] } && listings(world).contains { $0.directory == directories[6] })
        try await world.mounts[0].put("new", [2], in: directories[5])
        try await walker.put("own", [2], in: directories[6])
        #expect(try await list(walker, directories[5], looksUp: true) == ["f0", "f1", "f2", "new"])
        #expect(try await list(walker, directories[6], looksUp: true) == ["f0", "f1", "f2", "own"])
    }

    @Test func attributesThatNobodyWantsDoNotComeAnyMore() async throws {
        let (world, directories) = try await Self.world()
        let walker = world.mounts[1]
        try await list(walker, .root, looksUp: false)
        for directory in directories[..<16] {
            #expect(try await list(walker, directory, looksUp: false) == ["f0", "f1", "f2"])
            await settle()
        }
        // Two directories tell that; some were listed by then.
        let first = listings(world).count { $0.detail == .attributes }
        #expect(first < 13 && listings(world).count { $0.detail == .directories } > 4, "\(first)")
        // If they are wanted after all, they come again.
        world.leader.resetCounts()
        for directory in directories[16...] {
            try await list(walker, directory, looksUp: true)
            await settle()
        }
        #expect(listings(world).allSatisfy { $0.detail == .attributes }, "\(listings(world))")
    }

    @Test func whoGoesDeeperFindsWhatLiesThereToo() async throws {
        let world = try World(mounts: 2)
        let maker = world.mounts[0]
        var tops: [InodeID] = []
        var below: [InodeID: [InodeID]] = [:]
        for number in 0..<8 {
            let top = try await maker.makeDirectory("d\(number)")
            tops.append(top)
            for child in 0..<2 { below[top, default: []].append(try await maker.makeDirectory("e\(child)", in: top)) }
        }
        try await maker.files.syncAll()
        maker.metadata.loseSession()
        world.leader.resetCounts()
        let walker = world.mounts[1]
        try await list(walker, .root, looksUp: true)
        var waited = 0
        for top in tops {
            for directory in [top] + (below[top] ?? []) {
                let known = listings(world).count { $0.directory == directory }
                try await list(walker, directory, looksUp: true)
                if known == 0 { waited += 1 }
                await settle()
            }
        }
        // Of the first two all three, of the others none.
        #expect(waited <= 6, "\(waited)")
        #expect(listings(world).count == 1 + 8 * 3)
    }

    @Test func whoRemovesOneDirectoryAfterTheOtherWaitsForTheFirstOnly() async throws {
        let (world, directories) = try await Self.world(files: 6)
        let (maker, walker) = (world.mounts[0], world.mounts[1])
        func unlink(_ file: Int, _ directory: InodeID) async throws { try await walker.files.unlink(directory, Array("f\(file)".utf8)) }
        func removals(_ directory: InodeID) -> Int {
            world.leader.commands.count { if case .unlink(directory, _, _) = $0 { true } else { false } }
        }
        try await list(walker, .root, looksUp: true)
        for directory in directories[..<3] { try await list(walker, directory, looksUp: true) }
        for file in 0..<6 {
            try await unlink(file, directories[0])
            await settle()
        }
        #expect(removals(directories[0]) == 6)
        let gate = AsyncEvent()
        walker.metadata.submitGate = { await gate.wait() }
        // The files were listed before their directory was held exclusively.
        for file in 0..<6 { try await unlink(file, directories[1]) }
        #expect(removals(directories[1]) == 0)
        gate.happen()
        try await walker.files.settleNames()
        try await unlink(0, directories[2])
        #expect(world.leader.holds(directories[2], walker.metadata) == .exclusive)
        #expect(try await maker.names(directories[1]) == [".", ".."])
        // Where another mount is at work too, that stops.
        try await maker.put("x", [], in: directories[2])
        try await unlink(1, directories[2])
        try await list(walker, directories[3], looksUp: true)
        try await unlink(0, directories[3])
        await settle()
        for directory in directories[2...3] { #expect(world.leader.holds(directory, walker.metadata) != .exclusive) }
    }

    @Test func whoeverReadsDirectoriesHereAndThereHardlyPaysForTheirNeighbours() throws {
        let random = SeededRandom(seed: 23)
        var readAhead = ListingReadAhead()
        var asked = 0
        for _ in 0..<20_000 {
            let number = random.next()
            let name = try #require(Name("\(number)"))
            if readAhead.noteRead(name, InodeID(rawValue: number), isKnown: false) {
                readAhead.begin((1...100).map { InodeID(rawValue: number &+ $0) })
            }
            asked += readAhead.next().count
        }
        #expect(asked > 0 && asked < 100, "\(asked)")
    }
}
