import Glibc

/// mkdir(2), rmdir(2), unlink(2), symlink(2), readlink(2), stat(2) of names.
func nameCases() -> CaseTable {
    var table = CaseTable("names")
    table.add("mkdir") { c in
        try c.alice.mkdir("d", 0o750)
        let status = try c.alice.stat("d")
        try c.equal(status.mode, Flags.directoryType | 0o750, "mode")
        try c.equal(status.links, 2, "links")
        try c.equal(status.uid, 1001, "owner")
        try c.equal(status.gid, 1001, "group")
        try c.equal(try c.alice.names("d"), [])
    }
    table.add("mkdir-mode-bits") { c in
        try c.root.mkdir("d", 0o7777)
        // Linux takes the sticky bit, not set-id, of mkdir(2)'s mode.
        try c.equal(try c.root.stat("d").permissions, 0o1777)
    }
    table.add("mkdir-errors") { c in
        try c.alice.put("a")
        try c.alice.mkdir("d")
        try c.alice.symlink("nowhere", "s")
        try c.alice.fails(EEXIST, .makeDirectory("a", 0o755))
        try c.alice.fails(EEXIST, .makeDirectory("d", 0o755))
        try c.alice.fails(EEXIST, .makeDirectory("d/", 0o755))
        try c.alice.fails(EEXIST, .makeDirectory("s", 0o755))
        try c.alice.fails(EEXIST, .makeDirectory(".", 0o755))
        try c.alice.fails(EEXIST, .makeDirectory("..", 0o755))
        try c.alice.fails(EEXIST, .makeDirectory("d/.", 0o755))
        try c.alice.fails(ENOENT, .makeDirectory("x/y", 0o755))
        try c.alice.fails(ENOENT, .makeDirectory("", 0o755))
        try c.alice.fails(ENOENT, .makeDirectory("x/.", 0o755))
        try c.alice.fails(ENOTDIR, .makeDirectory("a/b", 0o755))
        try c.alice.mkdir("e/")
        try c.equal(try c.alice.stat("e").kind, Flags.directoryType)
    }
    table.add("mkdir-parent") { c in
        try c.alice.mkdir("d")
        try c.stamps([.modified, .changed], .path("d")) { try c.alice.mkdir("d/e") }
        try c.equal(try c.alice.stat("d").links, 3)
        try c.alice.mkdir("d/f")
        try c.equal(try c.alice.stat("d").links, 4)
        try c.stamps([.modified, .changed], .path("d")) { try c.alice.rmdir("d/e") }
        try c.equal(try c.alice.stat("d").links, 3)
        try c.alice.put("d/file")
        try c.equal(try c.alice.stat("d").links, 3)
    }
    table.add("rmdir-errors") { c in
        try c.alice.put("a")
        try c.alice.mkdir("d")
        try c.alice.mkdir("d/e")
        try c.alice.symlink("d", "s")
        try c.alice.fails(ENOTDIR, .removeDirectory("a"))
        try c.alice.fails(ENOTDIR, .removeDirectory("a/b"))
        try c.alice.fails(ENOTDIR, .removeDirectory("s"))
        try c.alice.fails(ENOTDIR, .removeDirectory("s/"))
        try c.alice.fails(ENOENT, .removeDirectory("x"))
        try c.alice.fails(ENOENT, .removeDirectory(""))
        try c.alice.fails(ENOTEMPTY, .removeDirectory("d"))
        try c.alice.fails(EINVAL, .removeDirectory("d/e/."))
        try c.alice.fails(ENOTEMPTY, .removeDirectory("d/e/.."))
        try c.alice.fails(EINVAL, .removeDirectory("."))
        try c.alice.fails(ENOTEMPTY, .removeDirectory(".."))
        try c.alice.rmdir("d/e/")
        try c.alice.rmdir("d")
        try c.check(!c.alice.exists("d"), "d is gone")
    }
    table.add("unlink-errors") { c in
        try c.alice.put("a")
        try c.alice.mkdir("d")
        try c.alice.fails(EISDIR, .unlink("d"))
        try c.alice.fails(EISDIR, .unlink("d/"))
        try c.root.fails(EISDIR, .unlink("d"))
        try c.alice.fails(ENOENT, .unlink("x"))
        try c.alice.fails(ENOENT, .unlink(""))
        try c.alice.fails(ENOENT, .unlink("x/y"))
        try c.alice.fails(ENOTDIR, .unlink("a/b"))
        try c.alice.fails(ENOTDIR, .unlink("a/"))
        try c.alice.fails([EISDIR, EINVAL], .unlink("."))
        try c.alice.unlink("a")
        try c.alice.fails(ENOENT, .unlink("a"))
    }
    table.add("unlink-takes-the-symlink") { c in
        try c.alice.put("a", "kept")
        try c.alice.symlink("a", "s")
        try c.alice.unlink("s")
        try c.equal(try c.alice.text("a"), "kept")
        try c.equal(try c.alice.names(), ["a"])
    }
    table.add("unlink-times") { c in
        try c.alice.mkdir("d")
        try c.alice.put("d/a")
        try c.alice.link("d/a", "b")
        try c.stamps([.modified, .changed], .path("d")) { try c.alice.unlink("d/a") }
        try c.alice.put("d/a")
        try c.alice.link("d/a", "c")
        try c.stamps([.changed], .path("c")) { try c.alice.unlink("d/a") }
        try c.stamps([], .path("d")) { c.alice.perform(.unlink("d/a")).expectFailed() }
    }
    table.add("symlink") { c in
        try c.alice.symlink("some/where", "s")
        try c.equal(try c.alice.readlink("s"), "some/where")
        let status = try c.alice.lstat("s")
        try c.equal(status.mode, Flags.symlink | 0o777)
        try c.equal(status.size, 10)
        try c.equal(status.uid, 1001)
        try c.equal(status.links, 1)
    }
    table.add("symlink-errors") { c in
        try c.alice.put("a")
        try c.alice.fails(EEXIST, .symlink([0x78], "a"))
        try c.alice.fails(ENOENT, .symlink([0x78], "x/y"))
        try c.alice.fails(ENOENT, .symlink([], "s"))
        try c.alice.fails(ENOTDIR, .symlink([0x78], "a/s"))
        try c.alice.symlink("a", "s")
        try c.alice.fails(EEXIST, .symlink([0x78], "s"))
        try c.alice.fails(ENOENT, .symlink([0x78], "new/"))
    }
    table.add("symlink-any-bytes") { c in
        let target = (1...255).map { UInt8($0) }
        try c.alice.call(.symlink(target, "s"))
        try c.equal(try c.alice.call(.readLink("s")), .bytes(target))
    }
    table.add("readlink-errors") { c in
        try c.alice.put("a")
        try c.alice.fails(EINVAL, .readLink("a"))
        try c.alice.fails(EINVAL, .readLink("."))
        try c.alice.fails(ENOENT, .readLink("x"))
        try c.alice.fails(ENOTDIR, .readLink("a/b"))
        try c.alice.symlink("a", "s")
        try c.alice.fails(ENOTDIR, .readLink("s/"))
    }
    table.add("symlink-times") { c in
        try c.alice.mkdir("d")
        try c.stamps([.modified, .changed], .path("d")) { try c.alice.symlink("x", "d/s") }
        try c.stamps([.modified, .changed], .path("d")) { try c.alice.unlink("d/s") }
    }
    table.add("symlink-to-directory-with-slash") { c in
        try c.alice.mkdir("d")
        try c.alice.symlink("d", "s")
        try c.equal(try c.alice.lstat("s").kind, Flags.symlink)
        try c.equal(try c.alice.lstat("s/").kind, Flags.directoryType)
        try c.equal(try c.alice.stat("s").kind, Flags.directoryType)
        try c.alice.put("a")
        try c.alice.symlink("a", "t")
        try c.alice.fails(ENOTDIR, .status(.link("t/")))
    }
    table.add("dangling") { c in
        try c.alice.symlink("nowhere", "s")
        try c.alice.fails(ENOENT, .status(.path("s")))
        try c.equal(try c.alice.lstat("s").kind, Flags.symlink)
        try c.alice.fails(ENOENT, .chmod(.path("s"), 0o600))
        try c.alice.fails(ENOENT, .open("s/x", flags: O_RDONLY, mode: 0))
    }
    table.add("stat-errors") { c in
        try c.alice.put("a")
        try c.alice.fails(ENOENT, .status(.path("x")))
        try c.alice.fails(ENOENT, .status(.path("")))
        try c.alice.fails(ENOTDIR, .status(.path("a/x")))
        try c.alice.fails(ENOTDIR, .status(.path("a/")))
        try c.alice.fails(ENOENT, .status(.path("x/..")))
    }
    table.add("negative-then-made") { c in
        for number in 0..<5 {
            let path = Path("n\(number)")
            try c.alice.fails(ENOENT, .status(.path(path)))
            switch number {
            case 0: try c.alice.put(path)
            case 1: try c.alice.mkdir(path)
            case 2: try c.alice.symlink("n0", path)
            case 3: try c.alice.mknod(path, Flags.fifo | 0o644)
            default: try c.alice.link("n0", path)
            }
            _ = try c.alice.stat(path)
        }
    }
    table.add("made-removed-made") { c in
        for _ in 0..<5 {
            try c.alice.put("a", "x")
            try c.alice.unlink("a")
            try c.alice.fails(ENOENT, .status(.path("a")))
            try c.alice.mkdir("a")
            try c.equal(try c.alice.stat("a").kind, Flags.directoryType)
            try c.alice.rmdir("a")
            try c.alice.fails(ENOENT, .status(.path("a")))
        }
    }
    table.add("inode-numbers") { c in
        try c.alice.put("a")
        try c.alice.mkdir("d")
        try c.alice.link("a", "d/b")
        try c.equal(try c.alice.stat("a").inode, try c.alice.stat("d/b").inode)
        try c.check(try c.alice.stat("a").inode != c.alice.stat("d").inode, "different inodes have different numbers")
        try c.equal(try c.alice.stat("d").inode, try c.alice.stat("d/.").inode)
        try c.equal(try c.alice.stat(".").inode, try c.alice.stat("d/..").inode)
        try c.alice.rename("a", "z")
        try c.equal(try c.alice.stat("z").inode, try c.alice.stat("d/b").inode)
    }
    table.add("deep") { c in
        var path = Path("d")
        for _ in 0..<100 {
            try c.alice.mkdir(path)
            path = path / "d"
        }
        try c.alice.put(path, "bottom")
        try c.equal(try c.alice.text(path), "bottom")
        var up = Path("")
        for _ in 0..<60 { up.bytes += Array("d/".utf8) }
        for _ in 0..<60 { up.bytes += Array("../".utf8) }
        try c.equal(try c.alice.stat(up).inode, try c.alice.stat(".").inode)
    }
    return table
}
