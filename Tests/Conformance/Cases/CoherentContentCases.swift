import Glibc

/// Content on two mounts: what one wrote, the other's next call sees.
func coherentContentCases() -> CaseTable {
    var table = CaseTable("coherence")
    table.addTwo("write-then-read") { one, two in
        let (writer, reader) = (try one.alice.open("a", O_RDWR | O_CREAT), try two.alice.open("a", O_RDWR))
        for number in 0..<20 {
            let text = "round \(number) of twenty"
            try one.alice.pwrite(writer, text, at: 0)
            try one.equal(try two.alice.pread(reader, text.utf8.count, at: 0), Array(text.utf8))
        }
    }
    table.addTwo("ping-pong") { one, two in
        let files = [(one, try one.alice.open("a", O_RDWR | O_CREAT)), (two, try two.alice.open("a", O_RDWR))]
        var expected = zeros(20_000)
        for number in 0..<40 {
            let (side, file) = files[number % 2]
            let part = pattern(700, seed: UInt64(number) + 1)
            let offset = number * 487
            try side.alice.pwrite(file, part, at: Int64(offset))
            expected.replaceSubrange(offset..<(offset + 700), with: part)
            let (other, otherFile) = files[1 - number % 2]
            try one.equal(try other.alice.pread(otherFile, 30_000, at: 0), Array(expected.prefix(offset + 700)))
        }
    }
    table.addTwo("large") { one, two in
        let bytes = pattern(3_000_000)
        try one.alice.put("a", bytes)
        try one.equal(try two.alice.content("a"), bytes)
        let other = pattern(3_000_000, seed: 5)
        try two.alice.put("a", other)
        try one.equal(try one.alice.content("a"), other)
    }
    table.addTwo("same-size-rewritten") { one, two in
        // Neither size nor a coarse time tells that the cached pages are old.
        for number in 0..<20 {
            let side = number % 2 == 0 ? one : two
            try side.alice.put("a", "value \(10 + number)")
            try one.equal(try one.alice.text("a"), "value \(10 + number)")
            try one.equal(try two.alice.text("a"), "value \(10 + number)")
        }
    }
    table.addTwo("same-times-rewritten") { one, two in
        try one.alice.put("a", "first!")
        try one.alice.setTimes("a", Time(5, 5), Time(6, 6))
        try one.equal(try two.alice.text("a"), "first!")
        try one.alice.put("a", "second")
        try one.alice.setTimes("a", Time(5, 5), Time(6, 6))
        try one.equal(try two.alice.text("a"), "second")
    }
    table.addTwo("open-reader-sees-growth") { one, two in
        let (writer, reader) = (try one.alice.open("a", O_WRONLY | O_CREAT), try two.alice.open("a"))
        var expected = ""
        for number in 0..<20 {
            try one.alice.write(writer, "line \(number)\n")
            try one.equal(String(decoding: try two.alice.read(reader, 1000), as: UTF8.self), "line \(number)\n", "what follows the file")
            expected += "line \(number)\n"
            try one.equal(try two.alice.fstat(reader).size, UInt64(expected.utf8.count))
        }
    }
    table.addTwo("truncate") { one, two in
        try one.alice.put("a", pattern(50_000))
        try one.equal(try two.alice.content("a"), pattern(50_000))
        let reader = try two.alice.open("a")
        for size in [30_000, 100, 0, 20_000] {
            try one.alice.truncate("a", Int64(size))
            try one.equal(try two.alice.stat("a").size, UInt64(size))
            try one.equal(try two.alice.pread(reader, 60_000, at: 0).count, size)
        }
        try one.equal(try two.alice.content("a"), zeros(20_000))
    }
    table.addTwo("truncate-at-open") { one, two in
        let reader = try two.alice.open("a", O_RDWR | O_CREAT)
        try two.alice.write(reader, "old content")
        try one.alice.put("a", "new")
        try one.equal(try two.alice.pread(reader, 100, at: 0), Array("new".utf8))
    }
    table.addTwo("append-from-both") { one, two in
        let files = [(one, try one.alice.open("a", O_WRONLY | O_APPEND | O_CREAT)), (two, try two.alice.open("a", O_WRONLY | O_APPEND))]
        var expected = ""
        for number in 0..<60 {
            let (side, file) = files[number % 2]
            try side.alice.write(file, "line \(number)\n")
            expected += "line \(number)\n"
        }
        try one.equal(try one.alice.text("a"), expected)
        try one.equal(try two.alice.text("a"), expected)
    }
    table.addTwo("seek-to-the-end") { one, two in
        let (writer, reader) = (try one.alice.open("a", O_WRONLY | O_CREAT), try two.alice.open("a"))
        for number in 1...10 {
            try one.alice.write(writer, zeros(1000))
            try one.equal(try two.alice.seek(reader, 0, SEEK_END), Int64(number * 1000))
        }
    }
    table.addTwo("holes") { one, two in
        try one.alice.put("a", pattern(2 << 20))
        let file = try two.alice.open("a", O_RDWR)
        try one.equal(try two.alice.pread(file, 100, at: 1 << 20), Array(pattern(2 << 20)[(1 << 20)..<((1 << 20) + 100)]))
        let puncher = try one.alice.open("a", O_RDWR)
        try one.alice.allocate(puncher, Flags.punchHole | Flags.keepSize, 1 << 20, 65_536)
        try one.equal(try two.alice.pread(file, 100, at: 1 << 20), zeros(100))
        try one.equal(try two.alice.seek(file, 0, Flags.seekHole), 1 << 20)
        try one.equal(try two.alice.seek(file, 1 << 20, Flags.seekData), (1 << 20) + 65_536)
    }
    table.addTwo("copy") { one, two in
        try one.alice.put("a", pattern(100_000))
        let (from, to) = (try two.alice.open("a"), try two.alice.open("b", O_RDWR | O_CREAT))
        try one.equal(try two.alice.copy(from, 0, to, 0, 100_000), 100_000)
        try one.equal(try one.alice.content("b"), pattern(100_000))
        try one.alice.put("a", pattern(100_000, seed: 3))
        try one.equal(try two.alice.copy(from, 0, to, 0, 100_000), 100_000)
        try one.equal(try one.alice.content("b"), pattern(100_000, seed: 3))
    }
    table.addTwo("unlinked-on-the-other") { one, two in
        try one.alice.put("a", pattern(100_000))
        let file = try one.alice.open("a", O_RDWR)
        try two.alice.unlink("a")
        try one.equal(try one.alice.fstat(file).links, 0)
        try one.equal(try one.alice.pread(file, 200_000, at: 0), pattern(100_000))
        try one.alice.pwrite(file, "still writable", at: 10)
        try one.alice.sync(file)
        try one.equal(try one.alice.pread(file, 14, at: 10), Array("still writable".utf8))
        try two.alice.put("a", "another")
        try one.equal(try one.alice.text("a"), "another")
        try one.alice.close(file)
        try one.equal(try two.alice.text("a"), "another")
    }
    table.addTwo("temporary-file") { one, two in
        let file = try one.root.open(".", O_RDWR | Flags.temporary, 0o644)
        try one.root.write(file, pattern(100_000))
        try one.equal(try two.root.names(), [])
        try one.root.call(.linkDescriptor(file, "a"))
        try one.equal(try two.root.content("a"), pattern(100_000))
        try two.root.put("a", "shorter")
        try one.equal(try one.root.fstat(file).size, 7)
        try two.root.unlink("a")
        try one.equal(try one.root.fstat(file).links, 0)
        try one.root.write(file, "more")
        try one.root.close(file)
        try one.equal(try one.root.names(), [])
    }
    table.addTwo("open-on-both-unlinked") { one, two in
        try one.alice.put("a", "content")
        let files = [(one, try one.alice.open("a", O_RDWR)), (two, try two.alice.open("a", O_RDWR))]
        try one.alice.unlink("a")
        for round in 0..<10 {
            let (side, file) = files[round % 2]
            let (other, otherFile) = files[1 - round % 2]
            try side.alice.pwrite(file, "round \(round)", at: 0)
            try one.equal(try other.alice.pread(otherFile, 7, at: 0), Array("round \(round)".utf8))
        }
        try one.alice.close(files[0].1)
        try one.equal(try two.alice.pread(files[1].1, 7, at: 0), Array("round 9".utf8))
    }
    table.addTwo("replaced-while-open") { one, two in
        try one.alice.put("a", "old")
        let file = try two.alice.open("a", O_RDWR)
        try one.alice.put("b", "new")
        try one.alice.rename("b", "a")
        try one.equal(try two.alice.pread(file, 10, at: 0), Array("old".utf8))
        try two.alice.pwrite(file, "OLD", at: 0)
        try one.equal(try one.alice.text("a"), "new")
        try one.equal(try two.alice.text("a"), "new")
    }
    table.addTwo("mapped-pages", except: [.process: "the kernel's page cache"]) { one, two in
        try one.alice.put("a", pattern(10_000))
        let file = try two.alice.open("a", O_RDWR)
        try one.equal(try two.alice.call(.mapRead(file, 10_000, at: 0, isPrivate: false)), .bytes(pattern(10_000)))
        try one.alice.put("a", pattern(10_000, seed: 2))
        try one.equal(try two.alice.pread(file, 10_000, at: 0), pattern(10_000, seed: 2))
        try one.equal(try two.alice.call(.mapRead(file, 10_000, at: 0, isPrivate: false)), .bytes(pattern(10_000, seed: 2)), "pages mapped anew")
        try two.alice.call(.mapWrite(file, Array("mapped".utf8), at: 0, isPrivate: false))
        try one.equal(Array(try one.alice.content("a").prefix(6)), Array("mapped".utf8))
    }
    table.addTwo("direct", except: [.process: "O_DIRECT is the kernel's", .oracle: "a disk needs aligned buffers"]) { one, two in
        try one.alice.put("a", pattern(20_000))
        let (direct, cached) = (try one.alice.open("a", O_RDWR | Flags.direct), try two.alice.open("a", O_RDWR))
        for number in 0..<10 {
            try one.alice.pwrite(direct, "direct \(number)", at: 4096)
            try one.equal(try two.alice.pread(cached, 8, at: 4096), Array("direct \(number)".utf8))
            try two.alice.pwrite(cached, "cached \(number)", at: 8192)
            try one.equal(try one.alice.pread(direct, 8, at: 8192), Array("cached \(number)".utf8))
        }
    }
    table.addTwo("blocks-and-size-after-sync") { one, two in
        let file = try one.alice.open("a", O_RDWR | O_CREAT)
        try one.alice.write(file, pattern(1 << 20))
        try one.alice.sync(file)
        try one.equal(try two.alice.stat("a").size, 1 << 20)
        try one.check(try two.alice.stat("a").blocks >= 2048, "blocks")
        try two.alice.truncate("a", 0)
        try one.equal(try one.alice.fstat(file).size, 0)
    }
    table.addTwo("many-small-files") { one, two in
        for number in 0..<50 { try (number % 2 == 0 ? one : two).alice.put(Path("n\(number)"), "content \(number)") }
        for number in 0..<50 { try one.equal(try (number % 2 == 0 ? two : one).alice.text(Path("n\(number)")), "content \(number)") }
    }
    return table
}
