import Bytes
import Runtime
import TestSupport
import Testing

/// The simulated disk against simpler models of what a disk may do.
@Suite @LoopActor struct MemoryDiskTests {
    private func slice(_ byte: UInt8, _ count: Int) -> Slice { Slice(copying: [UInt8](repeating: byte, count: count)) }

    private func newFile(_ disk: any Disk, _ path: String = "/d/f") async throws(DiskError) -> any DiskFile {
        try await disk.createDirectory("/d")
        let file = try await disk.open(path, .createNew)
        try await disk.syncDirectory("/d")
        return file
    }

    @Test(arguments: 1...30 as ClosedRange<UInt64>) func contentIsThatOfAnArray(seed: UInt64) async throws {
        let random = SeededRandom(seed: seed)
        let disk = MemoryDisk()
        var file = try await newFile(disk)
        var model: [UInt8] = []
        var durable: [UInt8] = []
        for step in 0..<150 {
            switch random.below(12) {
            case 0..<5:
                let offset = random.below(30_000)
                let parts = (0..<random.below(4)).map { _ in Slice(copying: random.bytes(random.below(9000))) }
                try await file.write(parts, at: UInt64(offset), sync: false)
                var place = offset
                for part in parts {
                    if place + part.count > model.count { model += [UInt8](repeating: 0, count: place + part.count - model.count) }
                    model.replaceSubrange(place..<place + part.count, with: part.array)
                    place += part.count
                }
                if place > model.count { model += [UInt8](repeating: 0, count: place - model.count) }
            case 5, 6:
                let length = random.below(40_000)
                try await file.truncate(to: UInt64(length))
                model = Array(model.prefix(length)) + [UInt8](repeating: 0, count: max(0, length - model.count))
            case 7:
                let end = random.below(50_000)
                try await file.allocate(offset: 0, length: UInt64(end))
                model += [UInt8](repeating: 0, count: max(0, end - model.count))
            case 8, 9:
                try await file.sync()
                durable = model
            case 10:
                let offset = random.below(50_000)
                let count = random.below(20_000)
                let read = try await file.read(at: UInt64(offset), count: count)
                #expect(read.slice.array == Array(model.dropFirst(offset).prefix(count)), "step \(step)")
            default:
                disk.crash()
                model = durable
                file = try await disk.open("/d/f", .existing)
            }
            #expect(disk.content("/d/f") == model, "step \(step)")
            #expect(disk.usedBytes == model.count)
        }
        let image = disk.image()
        disk.restore(image)
        #expect(disk.content("/d/f") == durable)
        #expect(disk.usedBytes == durable.count)
    }

    @Test func aCrashKeepsLosesAndTears() async throws {
        var seen: Set<String> = []
        for seed in 1...200 as ClosedRange<UInt64> {
            let disk = MemoryDisk()
            let file = try await newFile(disk)
            try await file.write([slice(1, 8192)], at: 0, sync: true)
            // Two changes of the same pages, and one beyond the end.
            try await file.write([slice(2, 8192)], at: 0, sync: false)
            try await file.write([slice(3, 8192 - 100)], at: 100, sync: false)
            try await file.write([slice(4, 1000)], at: 8192, sync: false)
            disk.crash(random: SeededRandom(seed: seed))
            let bytes = try #require(disk.content("/d/f"))
            #expect(bytes.count == 8192 || bytes.count == 9192)
            var pages: [[UInt8]] = []
            for sector in 0..<16 {
                let part = Array(bytes[sector * 512..<(sector + 1) * 512])
                // Each sector is whole: one of the three versions.
                let old = [UInt8](repeating: 1, count: 512)
                let middle = [UInt8](repeating: 2, count: 512)
                let new = sector == 0 ? [UInt8](repeating: 2, count: 100) + [UInt8](repeating: 3, count: 412) : [UInt8](repeating: 3, count: 512)
                #expect(part == old || part == middle || part == new)
                pages.append(part)
            }
            for page in [pages[0..<8], pages[8..<16]] {
                let kinds = Set(page.map { $0[511] })
                seen.insert(kinds.count > 1 ? "torn" : "page \(kinds)")
            }
            if bytes.count == 9192 { seen.insert(bytes[8192] == 4 ? "grown" : "grown, not written") }
            // The survivors are durable now.
            disk.crash(random: SeededRandom(seed: seed))
            #expect(disk.content("/d/f") == bytes)
        }
        #expect(seen == ["torn", "page [1]", "page [2]", "page [3]", "grown", "grown, not written"])
    }

    @Test func whatWasCutOffComesBackOnlyWhole() async throws {
        var seen: Set<[UInt8]> = []
        for seed in 1...300 as ClosedRange<UInt64> {
            let disk = MemoryDisk()
            let file = try await newFile(disk)
            try await file.write([slice(1, 3 * 4096)], at: 0, sync: true)
            try await file.truncate(to: 4096)
            try await file.write([slice(2, 4096)], at: 2 * 4096, sync: false)
            disk.crash(random: SeededRandom(seed: seed))
            let bytes = try #require(disk.content("/d/f"))
            seen.insert(stride(from: 0, to: bytes.count, by: 4096).map { bytes[$0] })
            // After the cut, nothing of before it is there; before it, everything.
            if bytes.count == 4096 { #expect(bytes == [UInt8](repeating: 1, count: 4096)) }
            if bytes.count > 4096 {
                #expect(bytes[4096] == 0 || bytes == [UInt8](repeating: 1, count: 3 * 4096))
            }
        }
        #expect(seen == [[1], [1, 1, 1], [1, 0, 2], [1, 0, 0]])
    }

    @Test func aFailedSyncLosesWhatItWasFor() async throws {
        let disk = MemoryDisk()
        let file = try await newFile(disk)
        try await file.write([slice(1, 5000)], at: 0, sync: true)
        try await file.write([slice(2, 100)], at: 0, sync: false)
        disk.fault = { operation, _ in operation == .sync ? .failed : nil }
        await #expect(throws: DiskError.self) { try await file.sync() }
        disk.fault = nil
        // The cache still has it, and a second sync says that all is well.
        #expect(disk.content("/d/f")?.first == 2)
        try await file.sync()
        let image = disk.image()
        disk.dropCaches()
        #expect(disk.content("/d/f") == [UInt8](repeating: 1, count: 5000))
        disk.restore(image)
        #expect(disk.content("/d/f") == [UInt8](repeating: 1, count: 5000))
        // Writing the page again makes all of it dirty.
        let again = try await disk.open("/d/f", .existing)
        try await again.write([slice(3, 1)], at: 4999, sync: true)
        disk.crash()
        #expect(disk.content("/d/f")?.last == 3)
    }

    @Test func namesSurviveInOrdersThatCanBe() async throws {
        var seen: Set<[String]> = []
        for seed in 1...300 as ClosedRange<UInt64> {
            let disk = MemoryDisk()
            try await disk.createDirectory("/a")
            try await disk.createDirectory("/b")
            _ = try await disk.open("/a/old", .createNew)
            try await disk.syncDirectory("/a")
            _ = try await disk.open("/a/temporary", .createNew)
            try await disk.rename("/a/temporary", to: "/b/new")
            try await disk.remove("/a/old")
            disk.crash(random: SeededRandom(seed: seed))
            seen.insert(disk.files)
            // A renamed file has one name or the other, and none if it never was made.
            #expect(disk.files.filter { !$0.hasSuffix("old") }.count <= 1)
            disk.crash(random: SeededRandom(seed: seed))
            #expect(seen.contains(disk.files))
        }
        #expect(seen == [["/a/old"], [], ["/a/old", "/a/temporary"], ["/a/temporary"], ["/a/old", "/b/new"], ["/b/new"]])
    }

    @Test func syncOfADirectoryBringsWhatItNeeds() async throws {
        let disk = MemoryDisk()
        try await disk.createDirectory("/a")
        try await disk.createDirectory("/b")
        _ = try await disk.open("/a/one", .createNew)
        _ = try await disk.open("/a/two", .createNew)
        try await disk.rename("/a/one", to: "/b/one")
        try await disk.syncDirectory("/b")
        disk.crash()
        // The rename, and the creation before it, but not the other creation.
        #expect(disk.files == ["/b/one"])
        try await disk.remove("/b/one")
        #expect(disk.usedBytes == 0)
        disk.crash()
        #expect(disk.files == ["/b/one"])
    }

    @Test func largeFilesCostWhatIsInThem() async throws {
        let disk = MemoryDisk()
        try await disk.createDirectory("/d")
        for number in 0..<100 {
            let file = try await disk.open("/d/\(number)", .createNew)
            try await file.allocate(offset: 0, length: 256 << 20)
            try await file.write([slice(7, 100)], at: UInt64(number) << 21, sync: true)
            #expect(try await file.read(at: UInt64(number) << 21, count: 200).slice.array == [UInt8](repeating: 7, count: 100) + [UInt8](repeating: 0, count: 100))
        }
        #expect(disk.usedBytes == 100 * 256 << 20)
        try await disk.syncDirectory("/d")
        disk.crash(random: SeededRandom(seed: 1))
        #expect(disk.usedBytes == 100 * 256 << 20)
        for number in 0..<100 { try await disk.remove("/d/\(number)") }
        #expect(disk.usedBytes == 0)
    }

    @Test func roomEndsWhereItWasSaid() async throws {
        let disk = MemoryDisk(capacity: 10_000)
        let file = try await newFile(disk)
        try await file.write([slice(1, 6000)], at: 0, sync: true)
        #expect(try await disk.space(at: "/d") == DiskSpace(total: 10_000, available: 4000))
        let other = try await disk.open("/d/g", .createNew)
        let failure = await #expect(throws: DiskError.self) { try await other.write([slice(1, 4001)], at: 0, sync: false) }
        #expect(failure?.code == .noSpace)
        await #expect(throws: DiskError.self) { try await other.allocate(offset: 1, length: 4000) }
        await #expect(throws: DiskError.self) { try await other.truncate(to: 4001) }
        try await other.allocate(offset: 0, length: 4000)
        try await file.truncate(to: 0)
        try await other.write([slice(1, 9999)], at: 0, sync: false)
        try await disk.remove("/d/g")
        #expect(try await disk.space(at: "/d").available == 10_000)
    }
}
