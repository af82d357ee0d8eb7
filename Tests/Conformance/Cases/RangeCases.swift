import Glibc

/// Holes, fallocate(2), SEEK_DATA and SEEK_HOLE, copy_file_range(2).
func rangeCases() -> CaseTable {
    var table = CaseTable("range")
    let big = 1 << 20
    table.add("hole-reads-zero") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.pwrite(file, "end", at: Int64(big))
        try c.equal(try c.alice.fstat(file).size, UInt64(big) + 3)
        try c.equal(try c.alice.pread(file, big, at: 0), zeros(big))
        try c.equal(try c.alice.pread(file, 10, at: Int64(big) - 2), zeros(2) + Array("end".utf8))
    }
    table.add("hole-takes-no-room") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.pwrite(file, "end", at: 64 << 20)
        try c.alice.sync(file)
        let blocks = try c.alice.fstat(file).blocks
        try c.check(blocks > 0 && blocks < 4096, "\(blocks) blocks for three bytes after a hole")
    }
    table.add("blocks-count-what-is-written") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.write(file, pattern(big))
        try c.alice.sync(file)
        try c.check(try c.alice.fstat(file).blocks >= UInt64(big) / 512, "blocks for a mebibyte")
        try c.alice.truncate(file, 0)
        try c.alice.sync(file)
        try c.equal(try c.alice.fstat(file).blocks, 0)
    }
    table.add("seek-data-and-hole") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.pwrite(file, pattern(65_536), at: Int64(2 * big))
        try c.alice.truncate(file, Int64(4 * big))
        try c.equal(try c.alice.seek(file, 0, Flags.seekData), Int64(2 * big))
        try c.equal(try c.alice.seek(file, 0, Flags.seekHole), 0)
        try c.equal(try c.alice.seek(file, Int64(2 * big) + 10, Flags.seekData), Int64(2 * big) + 10)
        try c.equal(try c.alice.seek(file, Int64(2 * big), Flags.seekHole), Int64(2 * big) + 65_536)
        try c.alice.fails(ENXIO, .seek(file, Int64(3 * big), Flags.seekData))
        try c.equal(try c.alice.seek(file, Int64(3 * big), Flags.seekHole), Int64(3 * big))
        try c.alice.fails(ENXIO, .seek(file, Int64(4 * big), Flags.seekHole))
        try c.alice.fails(ENXIO, .seek(file, Int64(4 * big), Flags.seekData))
        try c.alice.fails(ENXIO, .seek(file, Int64(4 * big) + 1, Flags.seekHole))
        try c.alice.fails(ENXIO, .seek(file, -1, Flags.seekData))
    }
    table.add("seek-data-in-a-full-file") { c in
        try c.alice.put("a", pattern(10_000))
        let file = try c.alice.open("a")
        try c.equal(try c.alice.seek(file, 0, Flags.seekData), 0)
        try c.equal(try c.alice.seek(file, 9999, Flags.seekData), 9999)
        try c.equal(try c.alice.seek(file, 0, Flags.seekHole), 10_000)
        try c.equal(try c.alice.seek(file, 9999, Flags.seekHole), 10_000)
        try c.equal(try c.alice.seek(file, 0, SEEK_CUR), 10_000, "the offset after SEEK_HOLE")
    }
    table.add("seek-data-in-an-empty-file") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.fails(ENXIO, .seek(file, 0, Flags.seekData))
        try c.alice.fails(ENXIO, .seek(file, 0, Flags.seekHole))
    }
    table.add("allocate-grows") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.write(file, "abc")
        try c.stamps([.modified, .changed], .path("a")) { try c.alice.allocate(file, 0, 0, 10_000) }
        try c.equal(try c.alice.fstat(file).size, 10_000)
        try c.equal(try c.alice.pread(file, 10_000, at: 0), Array("abc".utf8) + zeros(9997))
        try c.alice.allocate(file, 0, 100, 10)
        try c.equal(try c.alice.fstat(file).size, 10_000)
    }
    table.add("allocate-keeps-the-size") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.write(file, "abc")
        try c.alice.allocate(file, Flags.keepSize, 0, 100_000)
        try c.equal(try c.alice.fstat(file).size, 3)
        try c.equal(try c.alice.pread(file, 100, at: 0), Array("abc".utf8))
    }
    table.add("allocate-errors") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.fails(EINVAL, .allocate(file, mode: 0, offset: 0, length: 0))
        try c.alice.fails(EINVAL, .allocate(file, mode: 0, offset: -1, length: 10))
        try c.alice.fails(EINVAL, .allocate(file, mode: 0, offset: 0, length: -1))
        try c.alice.fails(EOPNOTSUPP, .allocate(file, mode: 1 << 20, offset: 0, length: 10))
        try c.alice.fails(EOPNOTSUPP, .allocate(file, mode: Flags.punchHole, offset: 0, length: 10))
        try c.alice.fails(EFBIG, .allocate(file, mode: 0, offset: Int64.max - 5, length: 100))
        let directory = try c.alice.open(".")
        try c.alice.fails(EBADF, .allocate(directory, mode: 0, offset: 0, length: 10))
    }
    table.add("allocate-times") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.write(file, pattern(10_000))
        for (mode, offset) in [
            (Int32(0), Int64(0)), (Flags.keepSize, 0), (Flags.keepSize, 1 << 20), (Flags.zeroRange, 100), (Flags.zeroRange | Flags.keepSize, 1 << 20),
            (Flags.punchHole | Flags.keepSize, 100), (Flags.punchHole | Flags.keepSize, 1 << 20),
        ] {
            try c.stamps([.modified, .changed], .path("a")) { try c.alice.allocate(file, mode, offset, 5000) }
        }
        try c.equal(try c.alice.fstat(file).size, 10_000)
    }
    table.add("punch") { c in
        var bytes = pattern(300_000)
        try c.alice.put("a", bytes)
        let file = try c.alice.open("a", O_RDWR)
        for (offset, length) in [(10, 5), (4096, 4096), (100_001, 99_999), (299_990, 100_000)] {
            try c.stamps([.modified, .changed], .path("a")) {
                try c.alice.allocate(file, Flags.punchHole | Flags.keepSize, Int64(offset), Int64(length))
            }
            let end = min(bytes.count, offset + length)
            bytes.replaceSubrange(offset..<end, with: zeros(end - offset))
        }
        try c.equal(try c.alice.content("a"), bytes)
        try c.alice.allocate(file, Flags.punchHole | Flags.keepSize, 1 << 30, 4096)
        try c.equal(try c.alice.fstat(file).size, 300_000)
    }
    table.add("punch-frees-and-shows-a-hole") { c in
        try c.alice.put("a", pattern(2 * big))
        let file = try c.alice.open("a", O_RDWR)
        try c.alice.allocate(file, Flags.punchHole | Flags.keepSize, 0, Int64(big))
        try c.alice.sync(file)
        try c.equal(try c.alice.seek(file, 0, Flags.seekData), Int64(big))
        try c.equal(try c.alice.seek(file, 0, Flags.seekHole), 0)
        try c.check(try c.alice.fstat(file).blocks <= UInt64(big) / 512 + 64, "blocks after half was punched out")
    }
    table.add("zero-range") { c in
        var bytes = pattern(50_000)
        try c.alice.put("a", bytes)
        let file = try c.alice.open("a", O_RDWR)
        try c.alice.allocate(file, Flags.zeroRange, 1000, 20_000)
        bytes.replaceSubrange(1000..<21_000, with: zeros(20_000))
        try c.equal(try c.alice.content("a"), bytes)
        try c.alice.allocate(file, Flags.zeroRange | Flags.keepSize, 40_000, 20_000)
        bytes.replaceSubrange(40_000..<50_000, with: zeros(10_000))
        try c.equal(try c.alice.content("a"), bytes)
        try c.alice.allocate(file, Flags.zeroRange, 45_000, 20_000)
        try c.equal(try c.alice.content("a"), bytes + zeros(15_000))
    }
    table.add(
        "collapse-and-insert",
        except: [
            .mount: "the kernel refuses the modes: fuse_file_fallocate, fs/fuse/file.c, lets KEEP_SIZE, PUNCH_HOLE and ZERO_RANGE through",
            .process: "the kernel of a mount never passes the modes",
        ]
    ) { c in
        let bytes = pattern(3 * 4096)
        try c.alice.put("a", bytes)
        let file = try c.alice.open("a", O_RDWR)
        try c.alice.allocate(file, Flags.collapse, 4096, 4096)
        try c.equal(try c.alice.content("a"), Array(bytes[..<4096]) + Array(bytes[8192...]))
        try c.alice.allocate(file, Flags.insert, 4096, 4096)
        try c.equal(try c.alice.content("a"), Array(bytes[..<4096]) + zeros(4096) + Array(bytes[8192...]))
    }
    table.add("collapse-and-insert-are-refused", except: [.oracle: "ext4 has them"]) { c in
        try c.alice.put("a", pattern(3 * 4096))
        let file = try c.alice.open("a", O_RDWR)
        try c.alice.fails(EOPNOTSUPP, .allocate(file, mode: Flags.collapse, offset: 4096, length: 4096))
        try c.alice.fails(EOPNOTSUPP, .allocate(file, mode: Flags.insert, offset: 4096, length: 4096))
        try c.equal(try c.alice.content("a"), pattern(3 * 4096))
    }
    table.add("copy") { c in
        let bytes = pattern(200_000)
        try c.alice.put("a", bytes)
        let (from, to) = (try c.alice.open("a"), try c.alice.open("b", O_RDWR | O_CREAT))
        var done = 0
        while done < bytes.count {
            let count = try c.alice.copy(from, nil, to, nil, bytes.count - done)
            try c.check(count > 0, "something is copied")
            done += count
        }
        try c.equal(try c.alice.copy(from, nil, to, nil, 100), 0, "at the end")
        try c.equal(try c.alice.content("b"), bytes)
        try c.equal(try c.alice.seek(to, 0, SEEK_CUR), 200_000)
    }
    table.add("copy-with-offsets") { c in
        let bytes = pattern(100_000)
        try c.alice.put("a", bytes)
        try c.alice.put("b", pattern(50_000, seed: 9))
        let (from, to) = (try c.alice.open("a"), try c.alice.open("b", O_RDWR))
        try c.equal(try c.alice.copy(from, 10_001, to, 20_003, 5000), 5000)
        var expected = pattern(50_000, seed: 9)
        expected.replaceSubrange(20_003..<25_003, with: bytes[10_001..<15_001])
        try c.equal(try c.alice.content("b"), expected)
        try c.equal(try c.alice.seek(from, 0, SEEK_CUR), 0)
        try c.equal(try c.alice.seek(to, 0, SEEK_CUR), 0)
        try c.equal(try c.alice.copy(from, 99_000, to, 60_000, 5000), 1000, "at the end of the source")
        try c.equal(try c.alice.fstat(to).size, 61_000)
        try c.equal(try c.alice.pread(to, 20_000, at: 49_000), Array(expected[49_000...]) + zeros(10_000) + Array(bytes[99_000...]))
    }
    table.add("copy-within-a-file") { c in
        let bytes = pattern(100_000)
        try c.alice.put("a", bytes)
        let file = try c.alice.open("a", O_RDWR)
        try c.equal(try c.alice.copy(file, 0, file, 50_000, 50_000), 50_000)
        try c.equal(try c.alice.content("a"), Array(bytes[..<50_000]) + Array(bytes[..<50_000]))
        try c.alice.fails(EINVAL, .copyRange(file, 0, file, 10, 100, flags: 0))
    }
    table.add("copy-errors") { c in
        try c.alice.put("a", "content")
        let (reader, writer) = (try c.alice.open("a"), try c.alice.open("b", O_WRONLY | O_CREAT))
        try c.alice.fails(EBADF, .copyRange(writer, 0, writer, 100, 1, flags: 0))
        try c.alice.fails(EBADF, .copyRange(reader, 0, reader, 100, 1, flags: 0))
        try c.alice.fails(EINVAL, .copyRange(reader, 0, writer, 0, 1, flags: 1))
        let appender = try c.alice.open("b", O_WRONLY | O_APPEND)
        try c.alice.fails(EBADF, .copyRange(reader, 0, appender, 0, 1, flags: 0))
        let directory = try c.alice.open(".")
        try c.alice.fails(EISDIR, .copyRange(directory, 0, writer, 0, 1, flags: 0))
        try c.alice.fails([EINVAL, EOVERFLOW], .copyRange(reader, -1, writer, 0, 1, flags: 0))
    }
    table.add("copy-leaves-source-and-times") { c in
        try c.alice.put("a", pattern(10_000))
        let (from, to) = (try c.alice.open("a"), try c.alice.open("b", O_RDWR | O_CREAT))
        try c.stamps([.modified, .changed], .path("b")) { _ = try c.alice.copy(from, 0, to, 0, 10_000) }
        try c.alice.truncate("a", 0)
        try c.equal(try c.alice.content("b"), pattern(10_000))
    }
    table.add("copy-of-a-hole") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.truncate(file, 300_000)
        try c.alice.pwrite(file, "x", at: 200_000)
        let to = try c.alice.open("b", O_RDWR | O_CREAT)
        try c.alice.write(to, pattern(300_000))
        var done: Int64 = 0
        while done < 300_000 { done += Int64(try c.alice.copy(file, done, to, done, 300_000 - Int(done))) }
        try c.equal(try c.alice.content("b"), zeros(200_000) + Array("x".utf8) + zeros(99_999))
    }
    table.add("punched-then-truncated-then-grown") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.write(file, pattern(100_000))
        try c.alice.allocate(file, Flags.punchHole | Flags.keepSize, 20_000, 40_000)
        try c.alice.truncate(file, 30_000)
        try c.alice.truncate(file, 100_000)
        try c.equal(try c.alice.content("a"), Array(pattern(100_000).prefix(20_000)) + zeros(80_000))
    }
    return table
}
