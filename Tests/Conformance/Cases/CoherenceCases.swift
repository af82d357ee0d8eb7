import Glibc

/// Names and attributes on two mounts: what one did, the other's next call sees.
func coherenceCases() -> CaseTable {
    var table = CaseTable("coherence")
    table.addTwo("create") { one, two in
        for number in 0..<10 {
            let path = Path("n\(number)")
            try two.alice.fails(ENOENT, .status(.path(path)))
            try one.alice.put(path, "content \(number)")
            try one.equal(try two.alice.text(path), "content \(number)")
            try one.equal(try two.alice.names().count, number + 1)
        }
    }
    table.addTwo("exclusive-create") { one, two in
        try one.alice.close(try one.alice.open("a", O_RDWR | O_CREAT | O_EXCL))
        try two.alice.fails(EEXIST, .open("a", flags: O_RDWR | O_CREAT | O_EXCL, mode: 0o644))
        try two.alice.unlink("a")
        try one.alice.close(try one.alice.open("a", O_RDWR | O_CREAT | O_EXCL))
    }
    table.addTwo("unlink") { one, two in
        try one.alice.put("a", "content")
        try one.equal(try two.alice.text("a"), "content")
        try two.alice.unlink("a")
        try one.alice.fails(ENOENT, .status(.path("a")))
        try one.alice.fails(ENOENT, .open("a", flags: O_RDONLY, mode: 0))
        try one.equal(try one.alice.names(), [])
    }
    table.addTwo("mkdir-and-rmdir") { one, two in
        for _ in 0..<5 {
            try one.alice.mkdir("d")
            try one.equal(try two.alice.stat("d").kind, Flags.directoryType)
            try one.equal(try two.alice.stat(".").links, 3)
            try two.alice.fails(EEXIST, .makeDirectory("d", 0o755))
            try two.alice.rmdir("d")
            try one.alice.fails(ENOENT, .status(.path("d")))
            try one.equal(try one.alice.stat(".").links, 2)
            try one.alice.fails(ENOENT, .removeDirectory("d"))
        }
    }
    table.addTwo("rmdir-of-what-the-other-fills") { one, two in
        try one.alice.mkdir("d")
        try one.equal(try two.alice.names("d"), [])
        try two.alice.put("d/a")
        try one.alice.fails(ENOTEMPTY, .removeDirectory("d"))
        try one.alice.unlink("d/a")
        try two.alice.rmdir("d")
        try one.alice.fails(ENOENT, .status(.path("d")))
    }
    table.addTwo("rename") { one, two in
        try one.alice.put("n0", "content")
        let sides = [one, two]
        for number in 1...20 {
            try sides[number % 2].alice.rename(Path("n\(number - 1)"), Path("n\(number)"))
            try one.equal(try sides[1 - number % 2].alice.text(Path("n\(number)")), "content")
            try sides[1 - number % 2].alice.fails(ENOENT, .status(.path(Path("n\(number - 1)"))))
        }
    }
    table.addTwo("rename-over") { one, two in
        try one.alice.put("target", "old")
        let file = try two.alice.open("target")
        for number in 0..<10 {
            try one.alice.put("tmp", "version \(number)")
            try one.alice.rename("tmp", "target")
            try one.equal(try two.alice.text("target"), "version \(number)")
        }
        try one.equal(try two.alice.pread(file, 10, at: 0), Array("old".utf8), "what was open")
    }
    table.addTwo("rename-of-directories") { one, two in
        try one.alice.mkdir("d")
        try one.alice.mkdir("p")
        try two.alice.put("d/a", "content")
        try one.alice.rename("d", "p/d")
        try one.equal(try two.alice.text("p/d/a"), "content")
        try two.alice.fails(ENOENT, .status(.path("d/a")))
        try two.alice.rename("p", "q")
        try one.equal(try one.alice.text("q/d/a"), "content")
        try one.equal(try one.alice.stat("q/d/..").inode, try two.alice.stat("q").inode)
    }
    table.addTwo("loop-by-two-renames") { one, two in
        try one.alice.mkdir("a")
        try one.alice.mkdir("b")
        try one.alice.rename("a", "b/a")
        try two.alice.fails(EINVAL, .rename("b", "b/a/b", flags: 0))
        try two.alice.rename("b/a", "a")
        try one.alice.rename("b", "a/b")
        try two.alice.fails(EINVAL, .rename("a", "a/b/a", flags: 0))
    }
    table.addTwo("exchange") { one, two in
        try one.alice.put("a", "one")
        try one.alice.put("b", "two")
        try one.equal(try two.alice.text("a"), "one")
        try one.alice.rename("a", "b", Flags.exchange)
        try one.equal(try two.alice.text("a"), "two")
        try two.alice.rename("a", "b", Flags.exchange)
        try one.equal(try one.alice.text("a"), "one")
    }
    table.addTwo("link") { one, two in
        try one.alice.put("a", "content")
        try two.alice.link("a", "b")
        try one.equal(try one.alice.stat("a").links, 2)
        try one.alice.unlink("a")
        try one.equal(try two.alice.stat("b").links, 1)
        try one.equal(try two.alice.text("b"), "content")
    }
    table.addTwo("symlink") { one, two in
        for number in 0..<5 {
            try one.alice.symlink("target-\(number)", "s")
            try one.equal(try two.alice.readlink("s"), "target-\(number)")
            try two.alice.unlink("s")
            try one.alice.fails(ENOENT, .readLink("s"))
        }
    }
    table.addTwo("mode-and-owner") { one, two in
        try one.root.put("a", "content", 0o644)
        for mode: UInt32 in [0o600, 0o4755, 0o000, 0o777] {
            try one.root.chmod("a", mode)
            try one.equal(try two.root.stat("a").permissions, mode)
        }
        try two.root.chown("a", 1001, 1002)
        try one.equal(try one.root.stat("a").uid, 1001)
        try one.equal(try one.root.stat("a").gid, 1002)
    }
    table.addTwo("permission-is-taken-at-once") { one, two in
        try one.root.mkdir("d", 0o755)
        try one.root.put("d/a", "content", 0o644)
        for _ in 0..<5 {
            try one.equal(try two.bob.text("d/a"), "content")
            try one.root.chmod("d/a", 0o600)
            try two.bob.fails(EACCES, .open("d/a", flags: O_RDONLY, mode: 0))
            try one.root.chmod("d/a", 0o644)
            try one.equal(try two.bob.text("d/a"), "content")
            try one.root.chmod("d", 0o700)
            try two.bob.fails(EACCES, .status(.path("d/a")))
            try one.root.chmod("d", 0o755)
        }
    }
    table.addTwo("permission-of-an-open-file-is-taken-at-once") { one, two in
        for round in 0..<5 {
            let path = Path("a\(round)")
            let writer = try one.root.open(path, O_RDWR | O_CREAT, 0o777)
            try one.root.write(writer, "content")
            let reader = try two.bob.open(path)
            try one.equal(try two.bob.pread(reader, 10, at: 0), Array("content".utf8))
            try one.root.chmod(path, 0o600)
            try two.bob.fails(EACCES, .access(path, Int32(R_OK)))
            try one.root.chmod(path, 0o755)
            try two.bob.call(.access(path, Int32(R_OK | X_OK)))
            try one.root.chown(path, 1002, nil)
            try two.bob.call(.access(path, Int32(W_OK)))
            try one.root.chown(path, 1001, nil)
            try two.bob.fails(EACCES, .access(path, Int32(W_OK)))
        }
    }
    table.addTwo("times") { one, two in
        try one.alice.put("a")
        for number in 1...5 {
            try one.alice.setTimes("a", Time(Int64(number), 1), Time(Int64(number) * 100, 2))
            try one.equal(try two.alice.stat("a").modified, Time(Int64(number) * 100, 2))
            try one.equal(try two.alice.stat("a").accessed, Time(Int64(number), 1))
        }
    }
    table.addTwo("all-attributes-agree") { one, two in
        try one.alice.put("a", pattern(10_000))
        try one.alice.chmod("a", 0o640)
        try one.alice.setTimes("a", Time(5, 5), Time(6, 6))
        var (left, right) = (try one.alice.stat("a"), try two.alice.stat("a"))
        try one.equal(left, right)
        try two.alice.link("a", "b")
        try two.alice.truncate("b", 100)
        (left, right) = (try one.alice.stat("a"), try two.alice.stat("b"))
        try one.equal(left, right)
        try one.equal(try one.alice.stat("."), try two.alice.stat("."))
    }
    table.addTwo("xattrs") { one, two in
        try one.alice.put("a")
        for number in 0..<5 {
            try one.alice.setXattr("a", "user.x", "\(number)")
            try one.equal(try two.alice.xattr("a", "user.x"), "\(number)")
            try two.alice.setXattr("a", "user.y", "\(number)")
            try one.equal(try one.alice.xattrs("a"), ["user.x", "user.y"])
            try two.alice.call(.removeXattr(.path("a"), name: Array("user.x".utf8)))
            try one.alice.fails(ENODATA, .getXattr(.path("a"), name: Array("user.x".utf8), room: 10))
        }
    }
    table.addTwo("listing") { one, two in
        for number in 0..<30 {
            try one.alice.put(Path("n\(number)"))
            if number % 3 == 0 { try two.alice.unlink(Path("n\(number)")) }
            try one.equal(try one.alice.names(), try two.alice.names())
            try one.equal(try one.alice.names().count, number - number / 3)
        }
    }
    table.addTwo("rewound-directory") { one, two in
        let directory = try one.alice.open(".")
        try one.equal(try one.alice.list(directory).count, 2)
        try two.alice.put("a")
        try one.alice.seek(directory, 0)
        try one.equal(try one.alice.list(directory).count, 3)
        try two.alice.unlink("a")
        try one.alice.seek(directory, 0)
        try one.equal(try one.alice.list(directory).count, 2)
    }
    table.addTwo("parent-times") { one, two in
        try one.alice.mkdir("d")
        var last = try two.alice.stat("d").modified
        for number in 0..<5 {
            one.tick()
            try one.alice.put(Path("d/n\(number)"))
            let now = try two.alice.stat("d").modified
            try one.check(now > last, "mtime of the directory goes on")
            last = now
        }
    }
    table.addTwo("kind-changes") { one, two in
        for _ in 0..<3 {
            try one.alice.put("a", "file")
            try one.equal(try two.alice.lstat("a").kind, Flags.file)
            try two.alice.unlink("a")
            try two.alice.mkdir("a")
            try one.equal(try one.alice.lstat("a").kind, Flags.directoryType)
            try one.alice.rmdir("a")
            try one.alice.symlink("x", "a")
            try one.equal(try two.alice.lstat("a").kind, Flags.symlink)
            try two.alice.unlink("a")
        }
    }
    table.addTwo("removed-working-directory") { one, two in
        try one.alice.mkdir("d")
        let directory = try one.alice.open("d")
        try two.alice.rmdir("d")
        try one.alice.fails(ENOENT, .open(Path("x", at: directory), flags: O_WRONLY | O_CREAT, mode: 0o644))
        try one.alice.fails(ENOENT, .status(.path(Path("x", at: directory))))
        try one.equal(try one.alice.fstat(directory).links, 0)
    }
    table.addTwo("umask-is-per-process") { one, two in
        try one.alice.call(.umask(0o077))
        try one.alice.put("a", "", 0o666)
        try one.alice.call(.umask(0))
        try one.equal(try two.alice.stat("a").permissions, 0o600)
    }
    return table
}
