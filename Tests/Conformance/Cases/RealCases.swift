import Glibc

/// What needs a kernel: mmap(2), fifos and sockets in use, programs, O_DIRECT, ioctl(2).
func realCases() -> CaseTable {
    var table = CaseTable("kernel")
    let kernel: [World: String] = [.process: "the kernel does it"]
    let page = 4096
    table.add("mmap-shared-read", except: kernel) { c in
        try c.alice.put("a", pattern(10_000))
        let file = try c.alice.open("a", O_RDWR)
        try c.equal(try c.alice.call(.mapRead(file, 10_000, at: 0, isPrivate: false)), .bytes(pattern(10_000)))
        try c.equal(try c.alice.call(.mapRead(file, 100, at: Int64(page), isPrivate: true)), .bytes(Array(pattern(10_000)[page..<(page + 100)])))
    }
    table.add("mmap-sees-writes", except: kernel) { c in
        try c.alice.put("a", pattern(10_000))
        let file = try c.alice.open("a", O_RDWR)
        _ = try c.alice.call(.mapRead(file, 10_000, at: 0, isPrivate: false))
        try c.alice.pwrite(file, "changed", at: 5000)
        var expected = pattern(10_000)
        expected.replaceSubrange(5000..<5007, with: Array("changed".utf8))
        try c.equal(try c.alice.call(.mapRead(file, 10_000, at: 0, isPrivate: false)), .bytes(expected))
    }
    table.add("mmap-write-is-read", except: kernel) { c in
        try c.alice.put("a", pattern(10_000))
        let file = try c.alice.open("a", O_RDWR)
        try c.alice.call(.mapWrite(file, Array("mapped".utf8), at: Int64(page), isPrivate: false))
        var expected = pattern(10_000)
        expected.replaceSubrange(page..<(page + 6), with: Array("mapped".utf8))
        try c.equal(try c.alice.pread(file, 20_000, at: 0), expected)
        try c.alice.close(file)
        try c.equal(try c.alice.content("a"), expected)
    }
    table.add("mmap-write-changes-mtime", except: kernel) { c in
        try c.alice.put("a", pattern(10_000))
        let file = try c.alice.open("a", O_RDWR)
        let changes = try c.times(.path("a")) {
            try c.alice.call(.mapWrite(file, [1, 2, 3], at: 0, isPrivate: false))
            try c.alice.sync(file)
        }
        try c.check(changes.contains(.modified) && changes.contains(.changed), "times after a mapped write: \(changes)")
    }
    table.add("mmap-private-write-is-not-seen", except: kernel) { c in
        try c.alice.put("a", pattern(10_000))
        let file = try c.alice.open("a", O_RDONLY)
        try c.alice.call(.mapWrite(file, Array("private".utf8), at: 0, isPrivate: true))
        try c.equal(try c.alice.content("a"), pattern(10_000))
    }
    table.add("mmap-of-a-file-opened-for-appending", except: kernel) { c in
        try c.alice.put("a", pattern(10_000))
        let file = try c.alice.open("a", O_RDWR | O_APPEND)
        try c.alice.call(.mapWrite(file, Array("mapped".utf8), at: Int64(page), isPrivate: false))
        try c.alice.write(file, "end")
        var expected = pattern(10_000)
        expected.replaceSubrange(page..<(page + 6), with: Array("mapped".utf8))
        try c.equal(try c.alice.call(.mapRead(file, 20_000, at: 0, isPrivate: false)), .bytes(expected + Array("end".utf8)))
        try c.equal(try c.alice.content("a"), expected + Array("end".utf8))
    }
    table.add("mmap-permissions", except: kernel) { c in
        try c.alice.put("a", pattern(10_000))
        let reader = try c.alice.open("a", O_RDONLY)
        try c.alice.fails(EACCES, .mapWrite(reader, [1], at: 0, isPrivate: false))
        let writer = try c.alice.open("a", O_WRONLY)
        try c.alice.fails(EACCES, .mapRead(writer, 10, at: 0, isPrivate: false))
        let directory = try c.alice.open(".")
        try c.alice.fails(ENODEV, .mapRead(directory, 10, at: 0, isPrivate: false))
    }
    table.add("mmap-after-truncate", except: kernel) { c in
        try c.alice.put("a", pattern(10_000))
        let file = try c.alice.open("a", O_RDWR)
        _ = try c.alice.call(.mapRead(file, 10_000, at: 0, isPrivate: false))
        try c.alice.truncate("a", 5000)
        try c.alice.truncate("a", 10_000)
        try c.equal(try c.alice.call(.mapRead(file, 10_000, at: 0, isPrivate: false)), .bytes(Array(pattern(10_000).prefix(5000)) + zeros(5000)))
    }
    table.add("mmap-of-an-unlinked-file", except: kernel) { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.write(file, pattern(10_000))
        try c.alice.unlink("a")
        try c.alice.call(.mapWrite(file, [9, 9], at: 0, isPrivate: false))
        try c.equal(try c.alice.pread(file, 3, at: 0), [9, 9, pattern(3)[2]])
    }
    table.add("mmap-after-punch", except: kernel) { c in
        try c.alice.put("a", pattern(20_000))
        let file = try c.alice.open("a", O_RDWR)
        _ = try c.alice.call(.mapRead(file, 20_000, at: 0, isPrivate: false))
        try c.alice.allocate(file, Flags.punchHole | Flags.keepSize, 5000, 5000)
        var expected = pattern(20_000)
        expected.replaceSubrange(5000..<10_000, with: zeros(5000))
        try c.equal(try c.alice.call(.mapRead(file, 20_000, at: 0, isPrivate: false)), .bytes(expected))
    }
    table.add("mmap-after-copy-range", except: kernel) { c in
        try c.alice.put("a", pattern(20_000))
        try c.alice.put("b", pattern(20_000, seed: 4))
        let (from, to) = (try c.alice.open("b"), try c.alice.open("a", O_RDWR))
        _ = try c.alice.call(.mapRead(to, 20_000, at: 0, isPrivate: false))
        try c.equal(try c.alice.copy(from, 0, to, 0, 20_000), 20_000)
        try c.equal(try c.alice.call(.mapRead(to, 20_000, at: 0, isPrivate: false)), .bytes(pattern(20_000, seed: 4)))
    }
    table.add("fifo-in-use", except: kernel) { c in
        try c.alice.mknod("f", Flags.fifo | 0o600)
        let reader = try c.alice.open("f", O_RDONLY | O_NONBLOCK)
        let writer = try c.alice.open("f", O_WRONLY | O_NONBLOCK)
        try c.alice.write(writer, "through the pipe")
        try c.equal(try c.alice.read(reader, 100), Array("through the pipe".utf8))
        try c.alice.fails(EAGAIN, .read(reader, 100))
        try c.alice.close(writer)
        try c.equal(try c.alice.read(reader, 100), [])
        try c.alice.fails(ESPIPE, .seek(reader, 0, SEEK_SET))
        try c.bob.fails(EACCES, .open("f", flags: O_RDONLY | O_NONBLOCK, mode: 0))
    }
    table.add("socket-in-use", except: kernel) { c in
        try c.alice.call(.listen("s"))
        try c.equal(try c.alice.stat("s").kind, Flags.socket)
        try c.alice.call(.connect("s"))
        try c.alice.fails(EADDRINUSE, .listen("s"))
        try c.alice.chmod("s", 0o600)
        try c.bob.fails(EACCES, .connect("s"))
        try c.alice.put("a")
        try c.alice.fails(ECONNREFUSED, .connect("a"))
        try c.alice.unlink("s")
        try c.alice.fails(ENOENT, .connect("s"))
    }
    table.add("program", except: kernel) { c in
        try c.alice.put("script", "#!/bin/sh\nexit 7\n", 0o755)
        try c.equal(try c.alice.call(.execute("script")), .number(7))
        try c.equal(try c.bob.call(.execute("script")), .number(7))
        try c.alice.chmod("script", 0o644)
        try c.alice.fails(EACCES, .execute("script"))
        try c.root.fails(EACCES, .execute("script"))
        try c.alice.chmod("script", 0o700)
        try c.bob.fails(EACCES, .execute("script"))
        try c.alice.put("nothing", "no program", 0o755)
        try c.alice.fails(ENOEXEC, .execute("nothing"))
        try c.alice.mkdir("d")
        try c.alice.fails(EACCES, .execute("d"))
    }
    table.add("program-open-for-writing", except: kernel) { c in
        try c.alice.put("script", "#!/bin/sh\nexit 7\n", 0o755)
        let file = try c.alice.open("script", O_RDWR)
        try c.alice.fails(ETXTBSY, .execute("script"))
        try c.alice.close(file)
        try c.equal(try c.alice.call(.execute("script")), .number(7))
    }
    table.add("direct", except: kernel) { c in
        // The buffer of the call is not aligned, which a disk needs: mounts take any, disks refuse or take it.
        let bytes = pattern(3 * page)
        try c.alice.put("a", bytes)
        let file = try c.alice.open("a", O_RDWR | Flags.direct)
        let answer = c.alice.perform(.pread(file, page, at: Int64(page)))
        try c.check(answer == .bytes(Array(bytes[page..<(2 * page)])) || answer == .failed(EINVAL), "a direct read gave \(answer)")
        let written = c.alice.perform(.pwrite(file, pattern(page, seed: 8), at: 0))
        if written == .number(Int64(page)) { try c.equal(Array(try c.alice.content("a").prefix(page)), pattern(page, seed: 8)) }
    }
    table.add("direct-and-cached-agree", except: [.process: "the kernel's page cache", .oracle: "a disk needs aligned buffers"]) { c in
        try c.alice.put("a", pattern(50_000))
        let (direct, cached) = (try c.alice.open("a", O_RDWR | Flags.direct), try c.alice.open("a", O_RDWR))
        try c.equal(try c.alice.pread(cached, 50_000, at: 0), pattern(50_000))
        try c.alice.pwrite(direct, "direct", at: 1001)
        try c.equal(try c.alice.pread(cached, 6, at: 1001), Array("direct".utf8))
        try c.alice.pwrite(cached, "cached", at: 2002)
        try c.equal(try c.alice.pread(direct, 6, at: 2002), Array("cached".utf8))
        try c.alice.truncate(direct, 1004)
        try c.equal(try c.alice.pread(cached, 100, at: 1001), Array("dir".utf8))
    }
    table.add("unknown-ioctl", except: kernel) { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.fails(ENOTTY, .ioctl(file, 0x1234))
    }
    table.add("extent-map-is-refused", except: [.process: "the kernel refuses it", .oracle: "ext4 has one"]) { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        // FS_IOC_FIEMAP
        try c.alice.fails([EOPNOTSUPP, ENOTTY], .ioctl(file, 0xC020_660B))
    }
    return table
}
