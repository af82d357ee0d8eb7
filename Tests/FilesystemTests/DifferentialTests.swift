import Blocks
import Filesystem
import FilesystemWorld
import Glibc
import Model
import Namespace
import Runtime
import TestSupport
import Testing

/// Random operations from two mounts against arrays of bytes.
@Suite @LoopActor struct DifferentialTests {
    @LoopActor
    final class Model {
        var bytes: [UInt8] = []

        func write(_ content: [UInt8], at offset: Int) {
            if bytes.count < offset + content.count { bytes += [UInt8](repeating: 0, count: offset + content.count - bytes.count) }
            bytes.replaceSubrange(offset..<offset + content.count, with: content)
        }

        func truncate(to size: Int) {
            if size < bytes.count { bytes.removeLast(bytes.count - size) }
            bytes += [UInt8](repeating: 0, count: size - bytes.count)
        }

        func slice(_ offset: Int, _ count: Int) -> [UInt8] {
            offset >= bytes.count ? [] : Array(bytes[offset..<min(bytes.count, offset + count)])
        }
    }

    @Test(arguments: 1...40) func randomOperationsMatchTheModel(seed: UInt64) async throws {
        let world = try World(mounts: 2, seed: seed, jittery: seed % 2 == 0) {
            $0.blockSize = 16 << 10
            $0.extentsPerRegion = 24
            $0.cacheBytes = 1 << 20
            $0.dirtyBytes = 256 << 10
            $0.checkpointBytes = 64 << 10
            $0.prefetchBytes = 128 << 10
        }
        let random = SeededRandom(seed: seed &* 7919)
        let names = ["a", "b", "c"]
        var models: [Model] = []
        // (mount, file) → open file
        var open: [[(InodeID, UInt64)]] = [[], []]
        for name in names {
            models.append(Model())
            try await world.mounts[0].put(name, [])
        }
        for mount in 0..<2 { for name in names { open[mount].append(try await world.mounts[mount].open(name)) } }
        let limit = seed % 3 == 0 ? 6000 : 200_000
        for step in 0..<250 {
            let index = random.below(2)
            let mount = world.mounts[index]
            let file = random.below(names.count)
            let model = models[file]
            let (inode, handle) = open[index][file]
            let place = random.below(limit)
            let count = 1 + random.below(random.below(4) == 0 ? 60_000 : 3000)
            switch random.below(17) {
            case 16:
                // A commit that fails, changes on top of it, and a commit that succeeds.
                // Commits under way in the background end before, so that only this one's handle has an error to report.
                await settle(turns: 500)
                world.blocks.putFailure = .unavailable
                try? await mount.sync(inode, handle)
                await settle(turns: 500)
                world.blocks.putFailure = nil
                let content = random.bytes(count)
                try await mount.write(inode, handle, at: UInt64(place), content)
                model.write(content, at: place)
                let size = random.below(place + 1)
                try await mount.truncate(inode, to: UInt64(size))
                model.truncate(to: size)
                try await mount.truncate(inode, to: UInt64(size + 5000))
                model.truncate(to: size + 5000)
                _ = try? await mount.sync(inode, handle)
            case 0...4:
                let content = random.bytes(count)
                try await mount.write(inode, handle, at: UInt64(place), content)
                model.write(content, at: place)
            case 5:
                let content = random.bytes(count)
                try await mount.write(inode, handle, at: UInt64(model.bytes.count), content)
                model.write(content, at: model.bytes.count)
            case 6...8:
                let read = try await mount.read(inode, handle, at: UInt64(place), count)
                #expect(read == model.slice(place, count), "step \(step)")
            case 9:
                try await mount.truncate(inode, to: UInt64(place))
                model.truncate(to: place)
            case 10:
                try await mount.files.allocate(inode, handle: handle, mode: 3, offset: UInt64(place), length: UInt64(count))
                let end = min(model.bytes.count, place + count)
                if place < end { model.write([UInt8](repeating: 0, count: end - place), at: place) }
            case 11:
                let from = random.below(names.count)
                let offset = random.below(limit)
                guard from != file || offset + count <= place || place + count <= offset else { continue }
                let expected = models[from].slice(offset, count)
                var done = 0
                while done < expected.count {
                    let copied = try await mount.files.copyRange(
                        from: open[index][from].0, handle: open[index][from].1, offset: UInt64(offset + done), to: inode,
                        targetHandle: handle, targetOffset: UInt64(place + done), count: expected.count - done)
                    #expect(copied > 0)
                    done += copied
                }
                if !expected.isEmpty { model.write(expected, at: place) }
            case 12:
                try await mount.sync(inode, handle)
            case 13:
                try await mount.close(inode, handle)
                mount.files.dropBlocks()
                open[index][file] = try await mount.open(names[file])
            case 14:
                await world.clock.advance(by: UInt64(random.below(3000)) * Nanoseconds.millisecond)
            default:
                let attributes = try await mount.lookup(names[file])
                #expect(attributes.size == UInt64(model.bytes.count), "step \(step)")
            }
        }
        for (index, mount) in world.mounts.enumerated() {
            for (file, name) in names.enumerated() {
                #expect(try await mount.read(open[index][file].0, open[index][file].1) == models[file].bytes, "\(name) at the end")
                // Data and holes cover the file, and what is called a hole is zero.
                try await checkHoles(mount, open[index][file], models[file].bytes)
            }
        }
        try await world.mounts[0].files.syncAll()
        try await world.mounts[1].files.syncAll()
        #expect(world.mounts.allSatisfy { $0.files.memory.dirty == 0 })
        #expect(try Invariants.check(world.leader.store).map(\.description) == [])
    }

    private func checkHoles(_ mount: Mount, _ file: (InodeID, UInt64), _ bytes: [UInt8]) async throws {
        var position = 0
        while position < bytes.count {
            let hole = Int(try await mount.files.seek(file.0, handle: file.1, offset: UInt64(position), whence: 4))
            let found = try? await mount.files.seek(file.0, handle: file.1, offset: UInt64(position), whence: 3)
            let data = found.map { Int($0) } ?? bytes.count
            #expect(hole == position || data == position)
            if data > position { #expect(bytes[position..<data].allSatisfy { $0 == 0 }) }
            position = max(hole, data)
        }
    }

    @Test(arguments: 1...20) func concurrentWritersOfTheirOwnRanges(seed: UInt64) async throws {
        let world = try World(mounts: 2, seed: seed, jittery: true) {
            $0.blockSize = 16 << 10
            $0.extentsPerRegion = 24
            $0.cacheBytes = 1 << 20
            $0.dirtyBytes = 128 << 10
            $0.checkpointBytes = 32 << 10
        }
        try await world.mounts[0].put("shared", [])
        let stripe = 5000
        let writers = (0..<4).map { writer in
            Task { @LoopActor () throws -> [Int: [UInt8]] in
                let mount = world.mounts[writer % 2]
                let random = SeededRandom(seed: seed &* 31 &+ UInt64(writer))
                let (inode, handle) = try await mount.open("shared")
                var mine: [Int: [UInt8]] = [:]
                for _ in 0..<30 {
                    let slot = random.below(20) * 4 + writer
                    let content = random.bytes(stripe)
                    try await mount.write(inode, handle, at: UInt64(slot * stripe), content)
                    mine[slot] = content
                    if random.below(4) == 0 { try await mount.sync(inode, handle) }
                    let check = mine.keys.sorted()[random.below(mine.count)]
                    #expect(try await mount.read(inode, handle, at: UInt64(check * stripe), stripe) == mine[check])
                }
                try await mount.close(inode, handle)
                return mine
            }
        }
        var expected: [Int: [UInt8]] = [:]
        for writer in writers { expected.merge(try await writer.value) { $1 } }
        for mount in world.mounts {
            let bytes = try await mount.contents("shared")
            for (slot, content) in expected { #expect(Array(bytes[slot * stripe..<(slot + 1) * stripe]) == content) }
        }
    }
}
