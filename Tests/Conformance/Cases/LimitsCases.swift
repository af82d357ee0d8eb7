import Glibc

/// Names, paths, sizes and offsets at their limits, and one past them.
func limitsCases() -> CaseTable {
    var table = CaseTable("limits")
    let longest = Path([UInt8](repeating: 0x6E, count: 255))
    let tooLong = Path([UInt8](repeating: 0x6E, count: 256))
    table.add("name-of-255-bytes") { c in
        try c.alice.put(longest, "content")
        try c.equal(try c.alice.text(longest), "content")
        try c.equal(try c.alice.names().first?.utf8.count, 255)
        try c.alice.rename(longest, "a")
        try c.alice.rename("a", longest)
        try c.alice.link(longest, "b")
        try c.alice.unlink(longest)
        try c.alice.mkdir(longest)
        try c.alice.rmdir(longest)
        try c.alice.symlink("x", longest)
        try c.alice.unlink(longest)
        try c.alice.mknod(longest, Flags.fifo | 0o644)
    }
    table.add("name-of-256-bytes") { c in
        try c.alice.put("a")
        for call: Call in [
            .open(tooLong, flags: O_RDONLY, mode: 0), .open(tooLong, flags: O_WRONLY | O_CREAT, mode: 0o644), .makeDirectory(tooLong, 0o755),
            .removeDirectory(tooLong), .unlink(tooLong), .rename("a", tooLong, flags: 0), .rename(tooLong, "a", flags: 0), .link("a", tooLong, follow: false),
            .link(tooLong, "b", follow: false), .symlink([0x78], tooLong), .readLink(tooLong), .makeNode(tooLong, mode: Flags.fifo | 0o644, device: 0),
            .status(.path(tooLong)), .chmod(.path(tooLong), 0o644), .chown(.path(tooLong), nil, nil), .truncate(.path(tooLong), 0), .access(tooLong, F_OK),
            .setTimes(.path(tooLong), nil), .status(.path(tooLong / "x")),
        ] { try c.alice.fails(ENAMETOOLONG, call) }
        try c.equal(try c.alice.names(), ["a"])
    }
    table.add("multi-byte-name-is-counted-in-bytes") { c in
        try c.alice.put(Path(String(repeating: "\u{E9}", count: 127)))
        try c.alice.fails(ENAMETOOLONG, .open(Path(String(repeating: "\u{E9}", count: 128)), flags: O_WRONLY | O_CREAT, mode: 0o644))
    }
    table.add("path-of-4096-bytes") { c in
        var path = Path("")
        while path.bytes.count < 4094 { path.bytes += Array("./".utf8) }
        path.bytes += Array("a".utf8)
        // 4095 bytes and the zero are PATH_MAX.
        try c.alice.put(path, "content")
        try c.equal(try c.alice.text("a"), "content")
        try c.alice.fails(ENAMETOOLONG, .open(Path(path.bytes + [0x61]), flags: O_RDONLY, mode: 0))
        try c.alice.fails(ENAMETOOLONG, .makeDirectory(Path(path.bytes + [0x61]), 0o755))
    }
    table.add("symlink-target-of-4095-bytes") { c in
        let target = [UInt8](repeating: 0x78, count: 4095)
        try c.alice.call(.symlink(target, "s"))
        try c.equal(try c.alice.call(.readLink("s")), .bytes(target))
        try c.equal(try c.alice.lstat("s").size, 4095)
        try c.alice.fails(ENAMETOOLONG, .symlink(target + [0x78], "t"))
    }
    for size in [1, 59, 60, 61, 255, 256, 1023, 4094] {
        table.add("symlink-target-of-\(size)-bytes") { c in
            let target = pattern(size).map { $0 == 0 || $0 == 0x2F ? 0x61 : $0 }
            try c.alice.call(.symlink(target, "s"))
            try c.equal(try c.alice.call(.readLink("s")), .bytes(target))
            try c.equal(try c.alice.lstat("s").size, UInt64(size))
        }
    }
    let tebibyte: Int64 = 1 << 40
    // ext4 with blocks of 4 KiB ends one block earlier.
    let largest = 16 * tebibyte - 4096
    table.add("sparse-file-of-16-tib") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.truncate(file, largest)
        try c.equal(try c.alice.fstat(file).size, UInt64(largest))
        try c.alice.pwrite(file, "end", at: largest - 3)
        try c.equal(try c.alice.pread(file, 100, at: largest - 10), zeros(7) + Array("end".utf8))
        try c.equal(try c.alice.pread(file, 10, at: largest), [])
        try c.equal(try c.alice.pread(file, 10, at: 8 * tebibyte), zeros(10))
        try c.alice.sync(file)
        try c.check(try c.alice.fstat(file).blocks < 1000, "it takes no room")
        try c.equal(try c.alice.seek(file, 0, Flags.seekData) / (1 << 20), (largest - 3) / (1 << 20))
        try c.alice.truncate(file, 10)
        try c.equal(try c.alice.content("a"), zeros(10))
    }
    table.add("over-the-largest-file") { c in
        try c.alice.put("a", "x")
        let file = try c.alice.open("a", O_RDWR)
        try c.alice.fails(EFBIG, .truncate(.descriptor(file), 16 * tebibyte + 1))
        try c.alice.fails(EFBIG, .truncate(.path("a"), 16 * tebibyte + 1))
        try c.alice.fails(EFBIG, .pwrite(file, [1], at: 16 * tebibyte))
        try c.alice.fails(EFBIG, .pwrite(file, [1], at: 16 * tebibyte + 1))
        try c.alice.fails(EFBIG, .allocate(file, mode: 0, offset: 16 * tebibyte - 10, length: 20))
        try c.equal(try c.alice.fstat(file).size, 1)
    }
    table.add("largest-offsets") { c in
        try c.alice.put("a", "x")
        let file = try c.alice.open("a", O_RDWR)
        try c.alice.fails([EFBIG, EINVAL], .pwrite(file, [1, 2], at: .max - 1))
        try c.alice.fails([EFBIG, EINVAL], .pwrite(file, [1], at: .max))
        try c.alice.fails([EFBIG, EINVAL], .truncate(.descriptor(file), .max))
        try c.alice.fails([ENXIO, EINVAL], .seek(file, .max, Flags.seekData))
        try c.equal(try c.alice.pread(file, 10, at: 1 << 43), [])
        try c.equal(try c.alice.fstat(file).size, 1)
    }
    table.add(
        "seek-past-the-largest-file",
        except: [.mount: "fuse_file_llseek leaves SEEK_SET to the kernel, whose limit for FUSE is 2^63 - 1", .process: "as in a mount"]
    ) { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.fails(EINVAL, .seek(file, .max, SEEK_SET))
    }
    table.add("write-up-to-the-largest-size") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        // The part that fits is written.
        let answer = c.alice.perform(.pwrite(file, pattern(8192), at: 16 * tebibyte - 4096 - 4096))
        try c.check(answer == .number(8192) || answer == .number(4096), "a write over the limit gave \(answer)")
    }
    for boundary in [Int64(1 << 16), 1 << 20, 64 << 20, 1 << 31, 1 << 32] {
        table.add("across-\(boundary)") { c in
            let file = try c.alice.open("a", O_RDWR | O_CREAT)
            let bytes = pattern(10_000, seed: UInt64(boundary))
            try c.alice.pwrite(file, bytes, at: boundary - 5000)
            try c.equal(try c.alice.pread(file, 20_000, at: boundary - 6000), zeros(1000) + bytes)
            try c.alice.sync(file)
            try c.alice.truncate(file, boundary)
            try c.alice.truncate(file, boundary + 10)
            try c.equal(try c.alice.pread(file, 100, at: boundary - 10), Array(bytes[4990..<5000]) + zeros(10))
            try c.alice.allocate(file, Flags.punchHole | Flags.keepSize, boundary - 2000, 3000)
            try c.equal(try c.alice.pread(file, 10_000, at: boundary - 5000), Array(bytes[..<3000]) + zeros(2010))
        }
    }
    table.add("statfs") { c in
        guard case .space(let space) = try c.alice.call(.space(".")) else { return }
        try c.check(space.blockSize >= 512 && space.fragmentSize >= 512, "block size \(space.blockSize), fragment \(space.fragmentSize)")
        try c.check(space.blocks > 0 && space.free <= space.blocks && space.available <= space.free, "blocks \(space)")
        try c.check(space.files > 0 && space.freeFiles <= space.files, "files \(space)")
        try c.equal(space.nameMax, 255)
        try c.alice.fails(ENOENT, .space("x"))
    }
    return table
}
