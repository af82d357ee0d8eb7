import Glibc

/// open(2), close(2), umask(2).
func openCases() -> CaseTable {
    var table = CaseTable("open")
    table.add("missing") { c in
        try c.alice.fails(ENOENT, .open("a", flags: O_RDONLY, mode: 0))
        try c.alice.fails(ENOENT, .open("a/b", flags: O_RDWR | O_CREAT, mode: 0o644))
    }
    table.add("empty-path") { c in
        try c.root.fails(ENOENT, .open("", flags: O_RDONLY, mode: 0))
        try c.root.fails(ENOENT, .open("", flags: O_RDWR | O_CREAT, mode: 0o644))
    }
    table.add("creates") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT, 0o640)
        let status = try c.alice.fstat(file)
        try c.equal(status.mode, Flags.file | 0o640, "mode")
        try c.equal(status.uid, 1001, "owner")
        try c.equal(status.gid, 1001, "group")
        try c.equal(status.size, 0, "size")
        try c.equal(status.links, 1, "links")
    }
    table.add("created-without-permissions-is-writable-to-its-maker") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT, 0o000)
        try c.alice.write(file, "hello")
        try c.equal(try c.alice.pread(file, 10, at: 0), Array("hello".utf8))
        try c.alice.fails(EACCES, .open("a", flags: O_RDONLY, mode: 0))
    }
    table.add("read-only-file-created-for-writing") { c in
        let file = try c.alice.open("a", O_WRONLY | O_CREAT | O_EXCL, 0o444)
        try c.alice.write(file, "x")
        try c.alice.close(file)
        try c.alice.fails(EACCES, .open("a", flags: O_WRONLY, mode: 0))
        try c.equal(try c.alice.text("a"), "x")
    }
    table.add("umask") { c in
        try c.alice.call(.umask(0o027))
        try c.alice.put("a", "", 0o666)
        try c.alice.mkdir("d", 0o777)
        try c.alice.mknod("f", Flags.fifo | 0o666)
        guard case .number(let old) = try c.alice.call(.umask(0)) else { return }
        try c.equal(old, 0o027, "the old mask")
        try c.equal(try c.alice.stat("a").permissions, 0o640)
        try c.equal(try c.alice.stat("d").permissions, 0o750)
        try c.equal(try c.alice.stat("f").permissions, 0o640)
    }
    table.add("umask-does-not-change-existing") { c in
        try c.alice.put("a", "", 0o666)
        try c.alice.call(.umask(0o077))
        try c.alice.put("a", "", 0o666)
        try c.alice.call(.umask(0))
        try c.equal(try c.alice.stat("a").permissions, 0o666)
    }
    table.add("mode-bits-of-create") { c in
        try c.root.put("a", "", 0o7777)
        try c.equal(try c.root.stat("a").permissions, 0o7777)
    }
    table.add("exclusive") { c in
        try c.alice.put("a")
        try c.alice.fails(EEXIST, .open("a", flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o644))
        try c.alice.close(try c.alice.open("b", O_RDWR | O_CREAT | O_EXCL))
        try c.alice.fails(EEXIST, .open("b", flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o644))
    }
    table.add("exclusive-does-not-follow-symlinks") { c in
        try c.alice.symlink("nowhere", "s")
        try c.alice.fails(EEXIST, .open("s", flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o644))
        try c.check(!c.alice.exists("nowhere"), "the target was made")
    }
    table.add("create-through-dangling-symlink") { c in
        try c.alice.symlink("target", "s")
        try c.alice.close(try c.alice.open("s", O_RDWR | O_CREAT, 0o600))
        try c.equal(try c.alice.lstat("target").kind, Flags.file)
        try c.equal(try c.alice.lstat("s").kind, Flags.symlink)
    }
    table.add("existing-with-create") { c in
        try c.alice.put("a", "content", 0o600)
        let file = try c.alice.open("a", O_RDWR | O_CREAT, 0o777)
        try c.equal(try c.alice.fstat(file).permissions, 0o600)
        try c.equal(try c.alice.read(file, 100), Array("content".utf8))
    }
    table.add("truncate-existing") { c in
        try c.alice.put("a", "content")
        let file = try c.alice.open("a", O_WRONLY | O_TRUNC)
        try c.equal(try c.alice.fstat(file).size, 0)
    }
    table.add("truncate-needs-write-permission") { c in
        try c.alice.put("a", "content", 0o444)
        try c.bob.fails(EACCES, .open("a", flags: O_WRONLY | O_TRUNC, mode: 0))
        try c.bob.fails(EACCES, .open("a", flags: O_RDONLY | O_TRUNC, mode: 0))
        try c.equal(try c.bob.text("a"), "content")
    }
    table.add("truncate-read-only-open") { c in
        // Unspecified by POSIX; Linux truncates.
        try c.alice.put("a", "content")
        let file = try c.alice.open("a", O_RDONLY | O_TRUNC)
        try c.equal(try c.alice.fstat(file).size, 0)
    }
    table.add("directory-for-writing") { c in
        try c.alice.mkdir("d")
        for flags in [O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_RDWR | O_CREAT] {
            try c.alice.fails(EISDIR, .open("d", flags: flags, mode: 0o644))
        }
        try c.alice.fails(EISDIR, .open("d/", flags: O_RDWR | O_CREAT, mode: 0o644))
        try c.alice.fails(EISDIR, .open("missing/", flags: O_RDWR | O_CREAT, mode: 0o644))
        try c.alice.fails(EISDIR, .open(".", flags: O_RDWR, mode: 0o644))
    }
    table.add("directory-flag") { c in
        try c.alice.put("a")
        try c.alice.mkdir("d")
        try c.alice.symlink("d", "s")
        try c.alice.fails(ENOTDIR, .open("a", flags: O_RDONLY | Flags.directory, mode: 0))
        try c.alice.close(try c.alice.open("d", O_RDONLY | Flags.directory))
        try c.alice.close(try c.alice.open("s", O_RDONLY | Flags.directory))
    }
    table.add("directory-read") { c in
        try c.alice.mkdir("d")
        let directory = try c.alice.open("d")
        try c.alice.fails(EISDIR, .read(directory, 10))
        try c.alice.fails(EISDIR, .pread(directory, 10, at: 0))
        try c.alice.fails(EBADF, .write(directory, [1]))
    }
    table.add("no-follow") { c in
        try c.alice.put("a")
        try c.alice.mkdir("d")
        try c.alice.symlink("a", "s")
        try c.alice.symlink("d", "t")
        try c.alice.fails(ELOOP, .open("s", flags: O_RDONLY | Flags.noFollow, mode: 0))
        try c.alice.fails(ENOTDIR, .open("t", flags: O_RDONLY | Flags.noFollow | Flags.directory, mode: 0))
        try c.alice.close(try c.alice.open("a", O_RDONLY | Flags.noFollow))
        try c.alice.put("d/x")
        try c.alice.close(try c.alice.open("t/x", O_RDONLY | Flags.noFollow))
    }
    table.add("trailing-slash") { c in
        try c.alice.put("a")
        try c.alice.mkdir("d")
        try c.alice.fails(ENOTDIR, .open("a/", flags: O_RDONLY, mode: 0))
        try c.alice.fails([EISDIR, ENOTDIR], .open("a/", flags: O_RDWR | O_CREAT, mode: 0o644))
        try c.alice.close(try c.alice.open("d/"))
        try c.alice.close(try c.alice.open("d//."))
    }
    table.add("file-as-directory") { c in
        try c.alice.put("a")
        try c.alice.fails(ENOTDIR, .open("a/b", flags: O_RDONLY, mode: 0))
        try c.alice.fails(ENOTDIR, .open("a/b", flags: O_RDWR | O_CREAT, mode: 0o644))
        try c.alice.fails(ENOTDIR, .open("a/.", flags: O_RDONLY, mode: 0))
        try c.alice.fails(ENOTDIR, .open("a/..", flags: O_RDONLY, mode: 0))
    }
    table.add("symlink-loop") { c in
        try c.alice.symlink("s", "s")
        try c.alice.symlink("u", "t")
        try c.alice.symlink("t", "u")
        try c.alice.fails(ELOOP, .open("s", flags: O_RDONLY, mode: 0))
        try c.alice.fails(ELOOP, .open("t", flags: O_RDWR | O_CREAT, mode: 0o644))
        try c.alice.fails(ELOOP, .open("t/x", flags: O_RDONLY, mode: 0))
        try c.alice.fails(ELOOP, .open("s", flags: O_RDONLY | Flags.noFollow, mode: 0))
    }
    table.add("forty-symlinks") { c in
        try c.alice.put("l0", "end")
        for number in 1...41 { try c.alice.symlink("l\(number - 1)", Path("l\(number)")) }
        try c.equal(try c.alice.text("l40"), "end")
        try c.alice.fails(ELOOP, .open("l41", flags: O_RDONLY, mode: 0))
    }
    table.add("symlinks-along-the-way") { c in
        try c.alice.mkdir("a")
        try c.alice.mkdir("a/b")
        try c.alice.put("a/b/f", "found")
        try c.alice.symlink("a", "x")
        try c.alice.symlink("../x/b", "a/y")
        try c.equal(try c.alice.text("x/y/f"), "found")
        try c.equal(try c.alice.text("x/y/../b/./f"), "found")
    }
    table.add("read-only-descriptor-cannot-write") { c in
        try c.alice.put("a", "content")
        let file = try c.alice.open("a", O_RDONLY)
        try c.alice.fails(EBADF, .write(file, [1]))
        try c.alice.fails(EBADF, .pwrite(file, [1], at: 0))
        try c.alice.fails(EINVAL, .truncate(.descriptor(file), 1))
        try c.alice.fails(EBADF, .allocate(file, mode: 0, offset: 0, length: 1))
    }
    table.add("write-only-descriptor-cannot-read") { c in
        try c.alice.put("a", "content")
        let file = try c.alice.open("a", O_WRONLY)
        try c.alice.fails(EBADF, .read(file, 1))
        try c.alice.fails(EBADF, .pread(file, 1, at: 0))
        try c.alice.truncate(file, 3)
    }
    table.add("closed-descriptor") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.close(file)
        try c.alice.fails(EBADF, .close(file))
        try c.alice.fails(EBADF, .read(file, 1))
        try c.alice.fails(EBADF, .write(file, [1]))
        try c.alice.fails(EBADF, .status(.descriptor(file)))
        try c.alice.fails(EBADF, .sync(file, dataOnly: false))
    }
    table.add("duplicates-share-the-offset") { c in
        try c.alice.put("a", "abcdef")
        let file = try c.alice.open("a")
        guard case .number(let twin) = try c.alice.call(.duplicate(file)) else { return }
        try c.equal(try c.alice.read(file, 2), Array("ab".utf8))
        try c.equal(try c.alice.read(Int(twin), 2), Array("cd".utf8))
        try c.alice.close(file)
        try c.equal(try c.alice.read(Int(twin), 9), Array("ef".utf8))
    }
    table.add("two-opens-have-two-offsets") { c in
        try c.alice.put("a", "abcdef")
        let (one, other) = (try c.alice.open("a"), try c.alice.open("a"))
        try c.equal(try c.alice.read(one, 2), Array("ab".utf8))
        try c.equal(try c.alice.read(other, 2), Array("ab".utf8))
    }
    table.add("many-at-once") { c in
        try c.alice.put("a", "x")
        let files = try (0..<200).map { _ in try c.alice.open("a", O_RDWR) }
        for (number, file) in files.enumerated() { try c.alice.pwrite(file, [UInt8(number)], at: Int64(number)) }
        for file in files { try c.alice.close(file) }
        try c.equal(try c.alice.content("a"), (0..<200).map { UInt8($0) })
    }
    table.add("fifo-device-socket-kinds") { c in
        try c.root.mknod("s", Flags.socket | 0o644)
        try c.root.fails(ENXIO, .open("s", flags: O_RDONLY, mode: 0))
        try c.root.mknod("f", Flags.fifo | 0o644)
        try c.root.fails(ENXIO, .open("f", flags: O_WRONLY | O_NONBLOCK, mode: 0))
    }
    table.add("directory-descriptor-as-base") { c in
        try c.alice.mkdir("d")
        let directory = try c.alice.open("d", O_RDONLY | Flags.directory)
        try c.alice.put(Path("f", at: directory), "inside")
        try c.equal(try c.alice.text("d/f"), "inside")
        try c.alice.rename("d", "e")
        try c.equal(try c.alice.text(Path("f", at: directory)), "inside")
        try c.alice.mkdir(Path("g", at: directory))
        try c.equal(try c.alice.names("e"), ["f", "g"])
        try c.equal(try c.alice.stat(Path("..", at: directory)).inode, try c.alice.stat(".").inode)
        try c.alice.put("plain")
        let plain = try c.alice.open("plain")
        try c.alice.fails(ENOTDIR, .open(Path("x", at: plain), flags: O_RDONLY, mode: 0))
        try c.alice.fails(EBADF, .open(Path("x", at: 999), flags: O_RDONLY, mode: 0))
    }
    table.add("path-descriptor") { c in
        try c.alice.put("a", "content", 0o000)
        let file = try c.alice.open("a", Flags.path)
        try c.alice.fails(EBADF, .read(file, 1))
        try c.alice.fails(EBADF, .write(file, [1]))
        try c.equal(try c.alice.fstat(file).size, 7)
        try c.alice.symlink("a", "s")
        let link = try c.alice.open("s", Flags.path | Flags.noFollow)
        try c.equal(try c.alice.fstat(link).kind, Flags.symlink)
    }
    table.add("temporary-file") { c in
        let file = try c.alice.open(".", O_RDWR | Flags.temporary, 0o640)
        try c.alice.write(file, "without a name")
        try c.equal(try c.alice.fstat(file).links, 0)
        try c.equal(try c.alice.fstat(file).mode, Flags.file | 0o640)
        try c.equal(try c.alice.names(), [])
        try c.equal(try c.alice.pread(file, 100, at: 0), Array("without a name".utf8))
    }
    table.add("temporary-file-gets-a-name") { c in
        let file = try c.root.open(".", O_RDWR | Flags.temporary, 0o640)
        try c.root.write(file, "content")
        try c.root.call(.linkDescriptor(file, "named"))
        try c.equal(try c.root.fstat(file).links, 1)
        try c.equal(try c.root.text("named"), "content")
        try c.root.close(file)
        try c.equal(try c.root.text("named"), "content")
        try c.root.fails(EBADF, .linkDescriptor(99, "x"))
    }
    table.add("temporary-file-exclusive-gets-no-name") { c in
        let file = try c.root.open(".", O_RDWR | O_EXCL | Flags.temporary, 0o640)
        try c.root.fails(ENOENT, .linkDescriptor(file, "named"))
    }
    table.add("temporary-file-errors") { c in
        try c.alice.put("a")
        try c.alice.fails(ENOTDIR, .open("a", flags: O_RDWR | Flags.temporary, mode: 0o644))
        try c.alice.fails(ENOENT, .open("x", flags: O_RDWR | Flags.temporary, mode: 0o644))
        try c.alice.fails(EINVAL, .open(".", flags: O_RDONLY | Flags.temporary, mode: 0o644))
        try c.alice.mkdir("d", 0o555)
        try c.alice.fails(EACCES, .open("d", flags: O_RDWR | Flags.temporary, mode: 0o644))
    }
    table.add("temporary-file-is-like-one-made-there") { c in
        try c.alice.mkdir("d", 0o777)
        try c.root.chown("d", nil, 1003)
        try c.root.chmod("d", 0o2777)
        try c.alice.call(.umask(0o027))
        try c.stamps([], .path("d")) {
            let file = try c.alice.open("d", O_RDWR | Flags.temporary, 0o666)
            let status = try c.alice.fstat(file)
            try c.equal(status.mode & 0o7777, 0o640)
            try c.equal(status.uid, try c.alice.stat("d").uid)
            try c.equal(status.gid, 1003)
            try c.equal(status.size, 0)
            try c.alice.close(file)
        }
        try c.alice.call(.umask(0))
        try c.alice.rmdir("d")
    }
    table.add("temporary-file-with-two-names") { c in
        let file = try c.root.open(".", O_RDWR | Flags.temporary, 0o600)
        let content = pattern(300_000)
        try c.root.write(file, content)
        try c.root.call(.linkDescriptor(file, "a"))
        try c.root.fails(EEXIST, .linkDescriptor(file, "a"))
        try c.root.link("a", "b")
        try c.equal(try c.root.fstat(file).links, 2)
        try c.root.unlink("a")
        try c.root.pwrite(file, "x", at: 5)
        try c.root.close(file)
        try c.equal(try c.root.stat("b").links, 1)
        try c.equal(try c.root.content("b")[5], 0x78)
        try c.equal(try c.root.content("b").count, content.count)
    }
    table.add("removed-file-gets-no-name-again") { c in
        try c.root.put("a", "content")
        let file = try c.root.open("a", O_RDWR)
        try c.root.unlink("a")
        try c.root.fails(ENOENT, .linkDescriptor(file, "b"))
        // Nor does one that had been temporary.
        let temporary = try c.root.open(".", O_RDWR | Flags.temporary, 0o600)
        try c.root.call(.linkDescriptor(temporary, "c"))
        try c.root.unlink("c")
        try c.root.fails(ENOENT, .linkDescriptor(temporary, "d"))
        try c.equal(try c.root.names(), [])
    }
    table.add("temporary-file-in-a-removed-directory") { c in
        try c.alice.mkdir("d")
        let file = try c.alice.open("d", O_RDWR | Flags.temporary, 0o600)
        try c.alice.rmdir("d")
        try c.alice.write(file, "still there")
        try c.equal(try c.alice.pread(file, 100, at: 0), Array("still there".utf8))
    }
    table.add("parent-times") { c in
        try c.alice.mkdir("d")
        try c.stamps([.modified, .changed], .path("d")) { try c.alice.put("d/a", "x") }
        try c.stamps([], .path("d")) { try c.alice.put("d/a", "y") }
        try c.stamps([], .path("d")) { c.alice.perform(.open("d/a", flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o644)).expectFailed() }
    }
    table.add("file-times-at-creation") { c in
        try c.alice.put("before")
        c.tick()
        try c.alice.put("a")
        let (old, new) = (try c.alice.stat("before"), try c.alice.stat("a"))
        try c.check(new.accessed > old.accessed && new.modified > old.modified && new.changed > old.changed, "times are of the creation")
    }
    table.add("truncate-times") { c in
        try c.alice.put("a", "content")
        try c.stamps([.modified, .changed], .path("a")) { try c.alice.close(try c.alice.open("a", O_WRONLY | O_TRUNC)) }
        try c.stamps([.modified, .changed], .path("a")) { try c.alice.close(try c.alice.open("a", O_WRONLY | O_TRUNC)) }
        try c.stamps([], .path("a")) { try c.alice.close(try c.alice.open("a", O_RDWR)) }
    }
    return table
}

extension Returned {
    /// For calls whose failure another case looks at.
    func expectFailed() {}
}
