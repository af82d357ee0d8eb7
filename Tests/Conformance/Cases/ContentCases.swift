import Glibc

/// Bytes that change with their place, so that a shifted block is noticed.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    return (0..<count).map { _ in
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return UInt8(truncatingIfNeeded: state)
    }
}

func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

/// read(2), write(2), truncate(2), lseek(2), O_APPEND.
func contentCases() -> CaseTable {
    var table = CaseTable("content")
    table.add("write-and-read") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.write(file, "hello ")
        try c.alice.write(file, "world")
        try c.alice.seek(file, 0)
        try c.equal(try c.alice.read(file, 5), Array("hello".utf8))
        try c.equal(try c.alice.read(file, 100), Array(" world".utf8))
        try c.equal(try c.alice.read(file, 100), [])
        try c.equal(try c.alice.fstat(file).size, 11)
    }
    for size in [1, 4095, 4096, 4097, 65_535, 65_536, 131_073, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_500_000] {
        table.add("size-\(size)") { c in
            let bytes = pattern(size)
            try c.alice.put("a", bytes)
            try c.equal(try c.alice.stat("a").size, UInt64(size))
            try c.equal(try c.alice.content("a"), bytes)
            let file = try c.alice.open("a")
            try c.equal(try c.alice.pread(file, 100, at: Int64(size) - 1), [bytes[size - 1]])
            try c.equal(try c.alice.pread(file, 100, at: Int64(size)), [])
            try c.equal(try c.alice.pread(file, 100, at: Int64(size) + 1), [])
        }
    }
    table.add("overwrite-in-the-middle") { c in
        var bytes = pattern(300_000)
        try c.alice.put("a", bytes)
        let file = try c.alice.open("a", O_RDWR)
        for (offset, count) in [(0, 1), (4095, 2), (65_000, 5000), (131_071, 70_000), (299_999, 1)] {
            let part = pattern(count, seed: UInt64(offset) + 7)
            try c.alice.pwrite(file, part, at: Int64(offset))
            bytes.replaceSubrange(offset..<(offset + count), with: part)
        }
        try c.equal(try c.alice.pread(file, 400_000, at: 0), bytes)
        try c.alice.close(file)
        try c.equal(try c.alice.content("a"), bytes)
    }
    table.add("empty-write") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.stamps([], .path("a")) { try c.alice.write(file, []) }
        try c.alice.pwrite(file, [], at: 1000)
        try c.equal(try c.alice.fstat(file).size, 0)
        try c.equal(try c.alice.read(file, 0), [])
    }
    table.add("pwrite-leaves-the-offset") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.write(file, "abc")
        try c.alice.pwrite(file, "X", at: 0)
        try c.equal(try c.alice.seek(file, 0, SEEK_CUR), 3)
        try c.equal(try c.alice.pread(file, 3, at: 0), Array("Xbc".utf8))
        try c.equal(try c.alice.seek(file, 0, SEEK_CUR), 3)
    }
    table.add("negative-offsets") { c in
        try c.alice.put("a", "abc")
        let file = try c.alice.open("a", O_RDWR)
        try c.alice.fails(EINVAL, .pwrite(file, [1], at: -1))
        try c.alice.fails(EINVAL, .pread(file, 1, at: -1))
        try c.alice.fails(EINVAL, .seek(file, -1, SEEK_SET))
        try c.alice.fails(EINVAL, .seek(file, -4, SEEK_END))
        try c.alice.fails(EINVAL, .seek(file, -1, SEEK_CUR))
        try c.alice.fails(EINVAL, .seek(file, 0, 99))
        try c.alice.fails(EINVAL, .truncate(.descriptor(file), -1))
        try c.alice.fails(EINVAL, .truncate(.path("a"), -1))
        try c.equal(try c.alice.content("a"), Array("abc".utf8))
    }
    table.add("seek") { c in
        try c.alice.put("a", "abcdef")
        let file = try c.alice.open("a", O_RDWR)
        try c.equal(try c.alice.seek(file, -2, SEEK_END), 4)
        try c.equal(try c.alice.read(file, 9), Array("ef".utf8))
        try c.equal(try c.alice.seek(file, -3, SEEK_CUR), 3)
        try c.equal(try c.alice.read(file, 1), Array("d".utf8))
        try c.equal(try c.alice.seek(file, 100, SEEK_SET), 100)
        try c.equal(try c.alice.read(file, 1), [])
        try c.equal(try c.alice.fstat(file).size, 6, "seeking does not grow a file")
        try c.alice.write(file, "Z")
        try c.equal(try c.alice.fstat(file).size, 101)
        try c.equal(try c.alice.pread(file, 200, at: 6), zeros(94) + Array("Z".utf8))
    }
    table.add("append") { c in
        try c.alice.put("a", "one")
        let file = try c.alice.open("a", O_RDWR | O_APPEND)
        try c.alice.write(file, "two")
        try c.equal(try c.alice.seek(file, 0, SEEK_CUR), 6)
        try c.alice.seek(file, 0)
        try c.alice.write(file, "three")
        try c.equal(try c.alice.text("a"), "onetwothree")
        try c.alice.seek(file, 0)
        try c.equal(try c.alice.read(file, 3), Array("one".utf8))
    }
    table.add("append-ignores-the-offset-of-pwrite") { c in
        // Linux appends although POSIX says otherwise; pwrite(2), BUGS.
        try c.alice.put("a", "abc")
        let file = try c.alice.open("a", O_WRONLY | O_APPEND)
        try c.alice.pwrite(file, "X", at: 0)
        try c.equal(try c.alice.text("a"), "abcX")
    }
    table.add("appenders-take-turns") { c in
        let files = try (0..<4).map { _ in try c.alice.open("a", O_WRONLY | O_APPEND | O_CREAT) }
        var expected = ""
        for number in 0..<40 {
            try c.alice.write(files[number % 4], "line \(number)\n")
            expected += "line \(number)\n"
        }
        try c.equal(try c.alice.text("a"), expected)
    }
    table.add("append-after-truncate") { c in
        let file = try c.alice.open("a", O_WRONLY | O_APPEND | O_CREAT)
        try c.alice.write(file, "long content")
        try c.alice.truncate("a", 2)
        try c.alice.write(file, "X")
        try c.equal(try c.alice.text("a"), "loX")
    }
    table.add("append-flag-set-later") { c in
        try c.alice.put("a", "abc")
        let file = try c.alice.open("a", O_RDWR)
        try c.alice.call(.setFlags(file, O_APPEND))
        try c.alice.write(file, "d")
        try c.equal(try c.alice.text("a"), "abcd")
        try c.alice.call(.setFlags(file, 0))
        try c.alice.pwrite(file, "X", at: 0)
        try c.equal(try c.alice.text("a"), "Xbcd")
    }
    table.add("append-flag-taken-off") { c in
        try c.alice.put("a", "abc")
        let file = try c.alice.open("a", O_RDWR | O_APPEND)
        try c.alice.call(.setFlags(file, 0))
        try c.alice.pwrite(file, "X", at: 0)
        try c.equal(try c.alice.text("a"), "Xbc")
    }
    table.add("unwritten-truncated-offset") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.write(file, "abcdef")
        try c.alice.truncate(file, 0)
        try c.alice.write(file, "g")
        try c.equal(try c.alice.content("a"), zeros(6) + Array("g".utf8))
    }
    table.add("truncate-down-and-up") { c in
        let bytes = pattern(200_000)
        try c.alice.put("a", bytes)
        for (size, back) in [(150_001, 200_000), (100_000, 160_000), (4096, 5000), (100, 4096), (1, 200), (0, 10)] {
            try c.alice.truncate("a", Int64(size))
            try c.equal(try c.alice.stat("a").size, UInt64(size))
            try c.alice.truncate("a", Int64(back))
            try c.equal(try c.alice.content("a"), Array(bytes.prefix(size)) + zeros(back - size), "content after \(size), \(back)")
        }
    }
    table.add("truncate-by-descriptor") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.write(file, pattern(10_000))
        try c.alice.truncate(file, 5000)
        try c.equal(try c.alice.pread(file, 20_000, at: 0), Array(pattern(10_000).prefix(5000)))
        try c.alice.truncate(file, 9000)
        try c.equal(try c.alice.pread(file, 20_000, at: 4990), Array(pattern(10_000)[4990..<5000]) + zeros(4000))
    }
    table.add("truncate-errors") { c in
        try c.alice.mkdir("d")
        try c.alice.put("a", "content", 0o444)
        try c.alice.fails(ENOENT, .truncate(.path("x"), 0))
        try c.alice.fails(EISDIR, .truncate(.path("d"), 0))
        try c.alice.fails(ENOTDIR, .truncate(.path("a/x"), 0))
        try c.bob.fails(EACCES, .truncate(.path("a"), 0))
        try c.root.mknod("f", Flags.fifo | 0o666)
        try c.alice.fails(EINVAL, .truncate(.path("f"), 0))
        try c.alice.symlink("s", "s")
        try c.alice.fails(ELOOP, .truncate(.path("s"), 0))
    }
    table.add("truncate-follows-symlinks") { c in
        try c.alice.put("a", "content")
        try c.alice.symlink("a", "s")
        try c.alice.truncate("s", 3)
        try c.equal(try c.alice.text("a"), "con")
    }
    table.add("write-times") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.stamps([.modified, .changed], .path("a")) { try c.alice.write(file, "x") }
        try c.stamps([.modified, .changed], .path("a")) { try c.alice.pwrite(file, "x", at: 0) }
        try c.stamps([], .path("a")) { try c.alice.sync(file) }
        try c.stamps([], .path("a")) { try c.alice.close(file) }
    }
    table.add("truncate-times") { c in
        try c.alice.put("a", "content")
        try c.stamps([.modified, .changed], .path("a")) { try c.alice.truncate("a", 3) }
        try c.stamps([.modified, .changed], .path("a")) { try c.alice.truncate("a", 9) }
        try c.stamps([.modified, .changed], .path("a")) { try c.alice.truncate("a", 9) }
        let file = try c.alice.open("a", O_RDWR)
        try c.stamps([.modified, .changed], .path("a")) { try c.alice.truncate(file, 9) }
    }
    table.add("synchronous") { c in
        for (number, flags) in [O_SYNC, O_DSYNC, O_SYNC | O_APPEND].enumerated() {
            let file = try c.alice.open(Path("a\(number)"), O_RDWR | O_CREAT | flags)
            try c.alice.write(file, "abc")
            try c.alice.write(file, "def")
            try c.alice.call(.sync(file, dataOnly: true))
            try c.alice.sync(file)
            try c.equal(try c.alice.text(Path("a\(number)")), "abcdef")
        }
        let directory = try c.alice.open(".")
        try c.alice.sync(directory)
        try c.alice.call(.sync(directory, dataOnly: true))
    }
    table.add("vectored-with-flags", except: [.process: "the flags are the kernel's"]) { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        // RWF_DSYNC, RWF_SYNC, RWF_APPEND
        try c.alice.call(.pwriteFlags(file, Array("abc".utf8), at: 0, flags: 2))
        try c.alice.call(.pwriteFlags(file, Array("X".utf8), at: 1, flags: 4))
        try c.alice.call(.pwriteFlags(file, Array("def".utf8), at: 0, flags: 16))
        try c.equal(try c.alice.text("a"), "aXcdef")
        try c.equal(try c.alice.call(.preadFlags(file, 3, at: 2, flags: 0)), .bytes(Array("cde".utf8)))
        try c.alice.fails(EOPNOTSUPP, .preadFlags(file, 3, at: 2, flags: 1 << 20))
    }
    table.add("read-sees-own-writes-in-any-size") { c in
        let bytes = pattern(70_000)
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        var position = 0
        for size in [1, 511, 512, 513, 4095, 4097, 1, 30_000, 30_270] {
            try c.alice.write(file, Array(bytes[position..<(position + size)]))
            position += size
            try c.equal(try c.alice.pread(file, position, at: 0), Array(bytes.prefix(position)))
        }
        try c.equal(position, 70_000)
    }
    table.add("backwards") { c in
        let bytes = pattern(100_000)
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        for start in stride(from: 99_000, through: 0, by: -1000) { try c.alice.pwrite(file, Array(bytes[start..<(start + 1000)]), at: Int64(start)) }
        try c.equal(try c.alice.content("a"), bytes)
    }
    return table
}
