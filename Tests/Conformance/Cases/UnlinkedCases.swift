import Glibc

/// Files and directories that are open and have no name any more.
func unlinkedCases() -> CaseTable {
    var table = CaseTable("unlinked")
    table.add("read-and-write") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.write(file, pattern(100_000))
        try c.alice.unlink("a")
        try c.equal(try c.alice.fstat(file).links, 0)
        try c.equal(try c.alice.pread(file, 200_000, at: 0), pattern(100_000))
        try c.alice.pwrite(file, "more", at: 100_000)
        try c.equal(try c.alice.fstat(file).size, 100_004)
        try c.alice.sync(file)
        try c.alice.truncate(file, 10)
        try c.equal(try c.alice.pread(file, 100, at: 0), Array(pattern(100_000).prefix(10)))
        try c.alice.close(file)
        try c.equal(try c.alice.names(), [])
    }
    table.add("attributes") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.unlink("a")
        try c.alice.call(.chmod(.descriptor(file), 0o600))
        try c.alice.call(.setTimes(.descriptor(file), (Time(5, 5), Time(6, 6))))
        try c.alice.call(.setXattr(.descriptor(file), name: Array("user.x".utf8), [1], flags: 0))
        try c.equal(try c.alice.fstat(file).permissions, 0o600)
        try c.equal(try c.alice.fstat(file).modified, Time(6, 6))
        try c.equal(try c.alice.call(.getXattr(.descriptor(file), name: Array("user.x".utf8), room: 10)), .bytes([1]))
        try c.root.call(.chown(.descriptor(file), 1002, 1002))
        try c.equal(try c.alice.fstat(file).uid, 1002)
    }
    table.add("times") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.stamps([.changed], .descriptor(file)) { try c.alice.unlink("a") }
        try c.stamps([.modified, .changed], .descriptor(file)) { try c.alice.write(file, "x") }
    }
    table.add("path-descriptor") { c in
        try c.alice.put("a", "content", 0o640)
        let file = try c.alice.open("a", Flags.path)
        try c.alice.unlink("a")
        try c.equal(try c.alice.fstat(file).links, 0)
        try c.equal(try c.alice.fstat(file).size, 7)
        try c.equal(try c.alice.fstat(file).permissions, 0o640)
        try c.alice.put("a", "other")
        try c.equal(try c.alice.fstat(file).size, 7)
        try c.alice.rename("a", "b")
        try c.equal(try c.alice.fstat(file).links, 0)
        try c.alice.close(file)
    }
    table.add("replaced-under-a-path-descriptor") { c in
        try c.alice.put("a", "content")
        try c.alice.put("b", "new")
        let file = try c.alice.open("a", Flags.path)
        try c.alice.rename("b", "a")
        try c.equal(try c.alice.fstat(file).links, 0)
        try c.equal(try c.alice.fstat(file).size, 7)
        try c.equal(try c.alice.text("a"), "new")
        try c.alice.close(file)
    }
    table.add("removed-directory-by-path-descriptor") { c in
        try c.alice.mkdir("d", 0o750)
        let directory = try c.alice.open("d", Flags.path | O_DIRECTORY)
        try c.alice.rmdir("d")
        try c.equal(try c.alice.fstat(directory).permissions, 0o750)
        try c.equal(try c.alice.fstat(directory).links, 0)
        try c.alice.fails(ENOENT, .status(.path(Path("x", at: directory))))
        try c.alice.fails(ENOENT, .makeDirectory(Path("x", at: directory), 0o755))
        try c.alice.close(directory)
    }
    table.add("fifo", except: [.process: "the kernel does it"]) { c in
        try c.alice.mknod("f", Flags.fifo | 0o600)
        let pipe = try c.alice.open("f", O_RDWR | O_NONBLOCK)
        try c.alice.unlink("f")
        try c.alice.write(pipe, "through")
        try c.equal(try c.alice.read(pipe, 100), Array("through".utf8))
        try c.equal(try c.alice.fstat(pipe).links, 0)
        try c.alice.call(.chmod(.descriptor(pipe), 0o640))
        try c.root.call(.chown(.descriptor(pipe), 1002, 1003))
        try c.alice.fails(EPERM, .chmod(.descriptor(pipe), 0o600))
        try c.root.call(.setTimes(.descriptor(pipe), (Time(5, 5), Time(6, 6))))
        let status = try c.alice.fstat(pipe)
        try c.equal(status.permissions, 0o640)
        try c.equal([status.uid, status.gid], [1002, 1003])
        try c.equal(status.modified, Time(6, 6))
        try c.alice.close(pipe)
        try c.equal(try c.alice.names(), [])
    }
    table.add("name-is-free") { c in
        try c.alice.put("a", "old")
        let file = try c.alice.open("a", O_RDWR)
        try c.alice.unlink("a")
        try c.alice.put("a", "new")
        try c.equal(try c.alice.pread(file, 10, at: 0), Array("old".utf8))
        try c.equal(try c.alice.text("a"), "new")
        try c.check(try c.alice.fstat(file).inode != c.alice.stat("a").inode, "two inodes")
    }
    table.add("two-descriptors") { c in
        let one = try c.alice.open("a", O_RDWR | O_CREAT)
        let other = try c.alice.open("a", O_RDWR)
        try c.alice.unlink("a")
        try c.alice.write(one, "shared")
        try c.equal(try c.alice.pread(other, 10, at: 0), Array("shared".utf8))
        try c.alice.close(one)
        try c.equal(try c.alice.pread(other, 10, at: 0), Array("shared".utf8))
        try c.alice.pwrite(other, "S", at: 0)
        try c.equal(try c.alice.pread(other, 10, at: 0), Array("Shared".utf8))
    }
    table.add("large") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.unlink("a")
        let bytes = pattern(3_000_000)
        try c.alice.write(file, bytes)
        try c.alice.sync(file)
        try c.equal(try c.alice.pread(file, 4_000_000, at: 0), bytes)
        try c.alice.allocate(file, Flags.punchHole | Flags.keepSize, 1_000_000, 1_000_000)
        try c.equal(try c.alice.pread(file, 10, at: 1_500_000), zeros(10))
    }
    table.add("last-of-several-names") { c in
        try c.alice.put("a", "content")
        try c.alice.link("a", "b")
        let file = try c.alice.open("a")
        try c.alice.unlink("a")
        try c.equal(try c.alice.fstat(file).links, 1)
        try c.alice.unlink("b")
        try c.equal(try c.alice.fstat(file).links, 0)
        try c.equal(try c.alice.pread(file, 10, at: 0), Array("content".utf8))
    }
    table.add("copy-from") { c in
        try c.alice.put("a", pattern(50_000))
        let file = try c.alice.open("a")
        try c.alice.unlink("a")
        let target = try c.alice.open("b", O_RDWR | O_CREAT)
        try c.equal(try c.alice.copy(file, 0, target, 0, 50_000), 50_000)
        try c.alice.close(file)
        try c.equal(try c.alice.content("b"), pattern(50_000))
    }
    table.add("directory") { c in
        try c.alice.mkdir("d")
        let directory = try c.alice.open("d")
        try c.alice.rmdir("d")
        try c.equal(try c.alice.fstat(directory).links, 0)
        try c.alice.fails(ENOENT, .open(Path("x", at: directory), flags: O_WRONLY | O_CREAT, mode: 0o644))
        try c.alice.fails(ENOENT, .makeDirectory(Path("x", at: directory), 0o755))
        try c.alice.fails(ENOENT, .symlink([0x78], Path("x", at: directory)))
        try c.alice.fails(ENOENT, .makeNode(Path("x", at: directory), mode: Flags.fifo | 0o644, device: 0))
        try c.alice.fails(ENOENT, .status(.path(Path("x", at: directory))))
        try c.alice.put("a")
        try c.alice.fails(ENOENT, .rename("a", Path("x", at: directory), flags: 0))
        try c.alice.fails(ENOENT, .link("a", Path("x", at: directory), follow: false))
        _ = try c.alice.stat(Path(".", at: directory))
        try c.alice.call(.chmod(.descriptor(directory), 0o700))
        try c.alice.close(directory)
        try c.equal(try c.alice.names(), ["a"])
    }
    table.add("directory-made-again") { c in
        try c.alice.mkdir("d")
        let directory = try c.alice.open("d")
        try c.alice.rmdir("d")
        try c.alice.mkdir("d")
        try c.alice.put("d/a")
        try c.alice.fails(ENOENT, .status(.path(Path("a", at: directory))))
        try c.check(try c.alice.fstat(directory).inode != c.alice.stat("d").inode, "another directory")
    }
    table.add("directory-replaced-by-rename") { c in
        try c.alice.mkdir("d")
        try c.alice.mkdir("e")
        try c.alice.put("d/a")
        let directory = try c.alice.open("e")
        try c.alice.rename("d", "e")
        try c.equal(try c.alice.fstat(directory).links, 0)
        try c.equal(try c.alice.names("e"), ["a"])
    }
    table.add("many") { c in
        var files: [Int] = []
        for number in 0..<50 {
            let file = try c.alice.open("a", O_RDWR | O_CREAT | O_EXCL)
            try c.alice.write(file, "file \(number)")
            try c.alice.unlink("a")
            files.append(file)
        }
        for (number, file) in files.enumerated() { try c.equal(try c.alice.pread(file, 20, at: 0), Array("file \(number)".utf8)) }
        for file in files { try c.alice.close(file) }
    }
    return table
}
