import Glibc

/// link(2).
func linkCases() -> CaseTable {
    var table = CaseTable("link")
    table.add("second-name") { c in
        try c.alice.put("a", "content")
        try c.alice.link("a", "b")
        try c.equal(try c.alice.stat("a").links, 2)
        try c.equal(try c.alice.stat("a").inode, try c.alice.stat("b").inode)
        let file = try c.alice.open("b", O_WRONLY | O_APPEND)
        try c.alice.write(file, " more")
        try c.equal(try c.alice.text("a"), "content more")
        try c.equal(try c.alice.stat("a").size, 12)
        try c.alice.chmod("a", 0o600)
        try c.equal(try c.alice.stat("b").permissions, 0o600)
        try c.alice.unlink("a")
        try c.equal(try c.alice.text("b"), "content more")
        try c.equal(try c.alice.stat("b").links, 1)
    }
    table.add("errors") { c in
        try c.alice.put("a")
        try c.alice.mkdir("d")
        try c.alice.fails(ENOENT, .link("x", "b", follow: false))
        try c.alice.fails(ENOENT, .link("a", "x/b", follow: false))
        try c.alice.fails(ENOENT, .link("a", "", follow: false))
        try c.alice.fails(ENOENT, .link("", "b", follow: false))
        try c.alice.fails(EEXIST, .link("a", "a", follow: false))
        try c.alice.fails(EEXIST, .link("a", "d", follow: false))
        try c.alice.fails(EPERM, .link("d", "e", follow: false))
        try c.root.fails(EPERM, .link("d", "e", follow: false))
        try c.alice.fails(ENOTDIR, .link("a/x", "b", follow: false))
        try c.alice.fails(ENOTDIR, .link("a", "a/b", follow: false))
        try c.alice.fails(ENOENT, .link("a", "b/", follow: false))
    }
    table.add("of-symlink") { c in
        try c.alice.put("a", "content")
        try c.alice.symlink("a", "s")
        try c.alice.link("s", "t")
        try c.equal(try c.alice.lstat("t").kind, Flags.symlink)
        try c.equal(try c.alice.lstat("t").inode, try c.alice.lstat("s").inode)
        try c.alice.call(.link("s", "b", follow: true))
        try c.equal(try c.alice.lstat("b").inode, try c.alice.lstat("a").inode)
    }
    table.add("of-fifo") { c in
        try c.alice.mknod("f", Flags.fifo | 0o644)
        try c.alice.link("f", "g")
        try c.equal(try c.alice.stat("g").links, 2)
        try c.equal(try c.alice.stat("g").kind, Flags.fifo)
    }
    table.add("times") { c in
        try c.alice.mkdir("d")
        try c.alice.put("a")
        try c.stamps([.changed], .path("a")) { try c.alice.link("a", "d/b") }
        try c.stamps([.modified, .changed], .path("d")) { try c.alice.link("a", "d/c") }
        try c.stamps([], .path("d")) { c.alice.perform(.link("a", "d/b", follow: false)).expectFailed() }
    }
    table.add("many") { c in
        try c.alice.put("a", "content")
        try c.alice.mkdir("d")
        for number in 0..<300 { try c.alice.link("a", Path("d/\(number)")) }
        try c.equal(try c.alice.stat("a").links, 301)
        for number in 0..<300 { try c.alice.unlink(Path("d/\(number)")) }
        try c.equal(try c.alice.stat("a").links, 1)
        try c.equal(try c.alice.text("a"), "content")
    }
    table.add("permissions") { c in
        try c.alice.put("a", "", 0o600)
        try c.alice.mkdir("d", 0o755)
        // EPERM where /proc/sys/fs/protected_hardlinks is on, proc(5).
        try c.bob.fails([EACCES, EPERM], .link("a", "d/b", follow: false))
        try c.alice.mkdir("closed", 0o600)
        try c.alice.fails(EACCES, .link("a", "closed/b", follow: false))
    }
    table.add("to-removed-file") { c in
        try c.root.put("a", "content")
        let file = try c.root.open("a", O_RDWR)
        try c.root.unlink("a")
        try c.root.fails(ENOENT, .linkDescriptor(file, "b"))
    }
    table.add("by-descriptor") { c in
        try c.root.put("a", "content")
        let file = try c.root.open("a", O_RDWR)
        try c.root.call(.linkDescriptor(file, "b"))
        try c.equal(try c.root.stat("b").inode, try c.root.fstat(file).inode)
        try c.root.fails(EEXIST, .linkDescriptor(file, "b"))
    }
    return table
}
