import Glibc

/// rename(2), renameat2(2).
func renameCases() -> CaseTable {
    var table = CaseTable("rename")
    table.add("file") { c in
        try c.alice.put("a", "content")
        let inode = try c.alice.stat("a").inode
        try c.alice.rename("a", "b")
        try c.equal(try c.alice.names(), ["b"])
        try c.equal(try c.alice.text("b"), "content")
        try c.equal(try c.alice.stat("b").inode, inode)
    }
    table.add("over-file") { c in
        try c.alice.put("a", "new")
        try c.alice.put("b", "old")
        try c.alice.rename("a", "b")
        try c.equal(try c.alice.names(), ["b"])
        try c.equal(try c.alice.text("b"), "new")
    }
    table.add("over-open-file") { c in
        try c.alice.put("a", "new")
        try c.alice.put("b", "old")
        let file = try c.alice.open("b")
        try c.alice.rename("a", "b")
        try c.equal(try c.alice.read(file, 10), Array("old".utf8))
        try c.equal(try c.alice.fstat(file).links, 0)
        try c.equal(try c.alice.text("b"), "new")
    }
    table.add("to-itself") { c in
        try c.alice.put("a", "content")
        try c.alice.rename("a", "a")
        try c.equal(try c.alice.text("a"), "content")
        try c.alice.mkdir("d")
        try c.alice.rename("d", "d")
        try c.alice.rename("d", "./d/../d")
        try c.equal(try c.alice.names(), ["a", "d"])
    }
    table.add("between-two-names-of-a-file") { c in
        try c.alice.put("a", "content")
        try c.alice.link("a", "b")
        try c.alice.rename("a", "b")
        try c.equal(try c.alice.names(), ["a", "b"])
        try c.equal(try c.alice.stat("a").links, 2)
        try c.alice.fails(EEXIST, .rename("a", "b", flags: Flags.noReplace))
        try c.alice.rename("a", "b", Flags.exchange)
        try c.equal(try c.alice.names(), ["a", "b"])
    }
    table.add("directory") { c in
        try c.alice.mkdir("d")
        try c.alice.put("d/a", "content")
        try c.alice.rename("d", "e")
        try c.equal(try c.alice.text("e/a"), "content")
        try c.check(!c.alice.exists("d"), "the old name is gone")
    }
    table.add("directory-to-another-parent") { c in
        try c.alice.mkdir("one")
        try c.alice.mkdir("two")
        try c.alice.mkdir("one/d")
        try c.alice.put("one/d/a", "content")
        try c.equal(try c.alice.stat("one").links, 3)
        try c.alice.rename("one/d", "two/d")
        try c.equal(try c.alice.stat("one").links, 2)
        try c.equal(try c.alice.stat("two").links, 3)
        try c.equal(try c.alice.stat("two/d/..").inode, try c.alice.stat("two").inode)
        try c.equal(try c.alice.text("two/d/a"), "content")
        let entries = try c.alice.list(try c.alice.open("two/d"))
        try c.equal(entries.first { $0.name == [0x2E, 0x2E] }?.inode, try c.alice.stat("two").inode, "inode of ..")
    }
    table.add("directory-over-empty-directory") { c in
        try c.alice.mkdir("d")
        try c.alice.put("d/a", "content")
        try c.alice.mkdir("e")
        try c.alice.rename("d", "e")
        try c.equal(try c.alice.names("e"), ["a"])
        try c.equal(try c.alice.names(), ["e"])
        try c.equal(try c.alice.stat(".").links, 3)
    }
    table.add("directory-over-full-directory") { c in
        try c.alice.mkdir("d")
        try c.alice.mkdir("e")
        try c.alice.put("e/a")
        try c.alice.fails([ENOTEMPTY, EEXIST], .rename("d", "e", flags: 0))
        try c.alice.fails([ENOTEMPTY, EEXIST], .rename("d", "e/", flags: 0))
    }
    table.add("kinds-that-do-not-fit") { c in
        try c.alice.mkdir("d")
        try c.alice.put("a")
        try c.alice.symlink("d", "s")
        try c.alice.fails(EISDIR, .rename("a", "d", flags: 0))
        try c.alice.fails(ENOTDIR, .rename("d", "a", flags: 0))
        try c.alice.fails(ENOTDIR, .rename("d", "s", flags: 0))
        try c.alice.fails(EISDIR, .rename("s", "d", flags: 0))
        try c.alice.fails(ENOTDIR, .rename("a", "b/", flags: 0))
        try c.alice.fails(ENOTDIR, .rename("a/", "b", flags: 0))
        try c.alice.fails(ENOTDIR, .rename("d", "a/", flags: 0))
        try c.alice.rename("d", "e/")
        try c.alice.rename("e/", "f/")
        try c.equal(try c.alice.stat("f").kind, Flags.directoryType)
    }
    table.add("into-itself") { c in
        try c.alice.mkdir("d")
        try c.alice.mkdir("d/e")
        try c.alice.mkdir("d/e/f")
        try c.alice.fails(EINVAL, .rename("d", "d/x", flags: 0))
        try c.alice.fails(EINVAL, .rename("d", "d/e/x", flags: 0))
        try c.alice.fails(EINVAL, .rename("d", "d/e/f", flags: 0))
        try c.alice.fails(EINVAL, .rename("d", "d/e", flags: 0))
        try c.alice.fails(ENOTEMPTY, .rename("d/e/f", "d", flags: 0))
        try c.alice.fails(ENOTEMPTY, .rename("d/e", "d", flags: 0))
        try c.alice.put("a")
        try c.alice.rename("a", "d/a")
        try c.alice.fails([ENOTEMPTY, EISDIR], .rename("d/a", "d", flags: 0))
    }
    table.add("dots") { c in
        try c.alice.mkdir("d")
        try c.alice.mkdir("e")
        for path: Path in [".", "..", "d/.", "d/.."] {
            try c.alice.fails([EBUSY, EINVAL], .rename(path, "e", flags: 0))
            try c.alice.fails([EBUSY, EINVAL], .rename("e", path, flags: 0))
        }
    }
    table.add("errors") { c in
        try c.alice.put("a")
        try c.alice.fails(ENOENT, .rename("x", "y", flags: 0))
        try c.alice.fails(ENOENT, .rename("a", "x/y", flags: 0))
        try c.alice.fails(ENOENT, .rename("", "y", flags: 0))
        try c.alice.fails(ENOENT, .rename("a", "", flags: 0))
        try c.alice.fails(ENOTDIR, .rename("a/b", "y", flags: 0))
        try c.alice.fails(ENOTDIR, .rename("a", "a/b", flags: 0))
        try c.alice.symlink("s", "s")
        try c.alice.fails(ELOOP, .rename("a", "s/x", flags: 0))
    }
    table.add("symlink-itself") { c in
        try c.alice.put("a", "kept")
        try c.alice.put("b", "other")
        try c.alice.symlink("a", "s")
        try c.alice.rename("s", "t")
        try c.equal(try c.alice.readlink("t"), "a")
        try c.alice.rename("b", "t")
        try c.equal(try c.alice.lstat("t").kind, Flags.file)
        try c.equal(try c.alice.text("a"), "kept")
    }
    table.add("times") { c in
        try c.alice.mkdir("one")
        try c.alice.mkdir("two")
        try c.alice.put("one/a")
        try c.stamps([.modified, .changed], .path("one")) { try c.alice.rename("one/a", "two/b") }
        try c.stamps([.modified, .changed], .path("one")) { try c.alice.rename("two/b", "one/a") }
        try c.stamps([.modified, .changed], .path("one")) { try c.alice.rename("one/a", "one/b") }
        let file = try c.alice.open("one/b")
        try c.stamps([.changed], .descriptor(file)) { try c.alice.rename("one/b", "one/c") }
        try c.stamps([], .path("one")) { c.alice.perform(.rename("one/x", "one/y", flags: 0)).expectFailed() }
    }
    table.add("replaced-file-times") { c in
        try c.alice.put("a")
        try c.alice.put("b")
        try c.alice.link("b", "kept")
        try c.stamps([.changed], .path("kept")) { try c.alice.rename("a", "b") }
        try c.equal(try c.alice.stat("kept").links, 1)
    }
    table.add("no-replace") { c in
        try c.alice.put("a", "content")
        try c.alice.put("b", "other")
        try c.alice.mkdir("d")
        try c.alice.fails(EEXIST, .rename("a", "b", flags: Flags.noReplace))
        try c.alice.fails(EEXIST, .rename("a", "d", flags: Flags.noReplace))
        try c.alice.fails(EEXIST, .rename("a", "a", flags: Flags.noReplace))
        try c.alice.fails(EEXIST, .rename("d", "a", flags: Flags.noReplace))
        try c.alice.fails(ENOENT, .rename("x", "y", flags: Flags.noReplace))
        try c.alice.rename("a", "c", Flags.noReplace)
        try c.equal(try c.alice.text("c"), "content")
        try c.alice.symlink("nowhere", "s")
        try c.alice.fails(EEXIST, .rename("c", "s", flags: Flags.noReplace))
    }
    table.add("exchange-files") { c in
        try c.alice.put("a", "one")
        try c.alice.mkdir("d")
        try c.alice.put("d/b", "two")
        try c.alice.rename("a", "d/b", Flags.exchange)
        try c.equal(try c.alice.text("a"), "two")
        try c.equal(try c.alice.text("d/b"), "one")
    }
    table.add("exchange-file-and-directory") { c in
        try c.alice.put("a", "one")
        try c.alice.mkdir("d")
        try c.alice.mkdir("p")
        try c.alice.put("d/x", "inside")
        try c.alice.rename("d", "p/d")
        try c.alice.rename("a", "p/d", Flags.exchange)
        try c.equal(try c.alice.text("p/d"), "one")
        try c.equal(try c.alice.text("a/x"), "inside")
        try c.equal(try c.alice.stat("p").links, 2)
        try c.equal(try c.alice.stat(".").links, 4)
        try c.equal(try c.alice.stat("a/..").inode, try c.alice.stat(".").inode)
    }
    table.add("exchange-full-directories") { c in
        try c.alice.mkdir("d")
        try c.alice.mkdir("e")
        try c.alice.put("d/x")
        try c.alice.put("e/y")
        try c.alice.rename("d", "e", Flags.exchange)
        try c.equal(try c.alice.names("d"), ["y"])
        try c.equal(try c.alice.names("e"), ["x"])
    }
    table.add("exchange-errors") { c in
        try c.alice.mkdir("d")
        try c.alice.mkdir("d/e")
        try c.alice.put("a")
        try c.alice.fails(ENOENT, .rename("a", "x", flags: Flags.exchange))
        try c.alice.fails(ENOENT, .rename("x", "a", flags: Flags.exchange))
        try c.alice.fails(EINVAL, .rename("d", "d/e", flags: Flags.exchange))
        try c.alice.fails([EINVAL, ENOTEMPTY], .rename("d/e", "d", flags: Flags.exchange))
        try c.alice.fails(EINVAL, .rename("a", "d", flags: Flags.exchange | Flags.noReplace))
        try c.alice.fails(EINVAL, .rename("a", "d", flags: 1 << 10))
        try c.alice.fails(ENOTDIR, .rename("a/", "d", flags: Flags.exchange))
        try c.alice.fails(ENOTDIR, .rename("d", "a/", flags: Flags.exchange))
    }
    table.add("exchange-times") { c in
        try c.alice.mkdir("one")
        try c.alice.mkdir("two")
        try c.alice.put("one/a")
        try c.alice.put("two/b")
        let files = [try c.alice.open("one/a"), try c.alice.open("two/b")]
        for target: Target in [.path("one"), .path("two")] {
            try c.stamps([.modified, .changed], target) { try c.alice.rename("one/a", "two/b", Flags.exchange) }
        }
        for file in files { try c.stamps([.changed], .descriptor(file)) { try c.alice.rename("one/a", "two/b", Flags.exchange) } }
    }
    table.add(
        "whiteout",
        except: [
            .mount: "FUSE has no whiteouts: fuse_rename2, fs/fuse/dir.c, refuses the flag; see whiteout-is-refused", .process: "the kernel refuses the flag",
        ]
    ) { c in
        try c.root.put("a", "content")
        try c.root.rename("a", "b", Flags.whiteout)
        try c.equal(try c.root.lstat("a").kind, Flags.characterDevice)
    }
    table.add("whiteout-is-refused", except: [.oracle: "ext4 has whiteouts"]) { c in
        try c.root.put("a", "content")
        try c.root.fails(EINVAL, .rename("a", "b", flags: Flags.whiteout))
        try c.equal(try c.root.names(), ["a"])
    }
    table.add("permissions") { c in
        try c.alice.mkdir("d", 0o755)
        try c.alice.put("d/a")
        try c.alice.mkdir("e", 0o777)
        try c.bob.fails(EACCES, .rename("d/a", "d/b", flags: 0))
        try c.bob.fails(EACCES, .rename("d/a", "e/b", flags: 0))
        try c.bob.put("e/x")
        try c.bob.fails(EACCES, .rename("e/x", "d/x", flags: 0))
    }
    table.add("foreign-directory-to-another-parent") { c in
        // A directory gets a new "..", which needs permission to write to it.
        try c.alice.mkdir("d", 0o755)
        try c.alice.mkdir("one", 0o777)
        try c.alice.mkdir("two", 0o777)
        try c.alice.rename("d", "one/d")
        try c.bob.fails(EACCES, .rename("one/d", "two/d", flags: 0))
        try c.bob.rename("one/d", "one/e")
    }
    table.add("sticky") { c in
        try c.alice.mkdir("d", 0o777)
        try c.alice.chmod("d", 0o1777)
        try c.bob.put("d/b", "", 0o666)
        try c.carol.put("d/c", "", 0o666)
        try c.carol.fails(EPERM, .rename("d/b", "d/x", flags: 0))
        try c.carol.fails(EPERM, .rename("d/c", "d/b", flags: 0))
        try c.carol.rename("d/c", "d/y")
        try c.alice.rename("d/b", "d/z")
        try c.root.rename("d/z", "d/b")
        try c.bob.fails(EPERM, .rename("d/b", "d/y", flags: Flags.exchange))
    }
    table.add("chain") { c in
        try c.alice.put("n0", "content")
        for number in 1...50 { try c.alice.rename(Path("n\(number - 1)"), Path("n\(number)")) }
        try c.equal(try c.alice.names(), ["n50"])
        try c.equal(try c.alice.text("n50"), "content")
    }
    table.add("write-temporary-then-rename") { c in
        for number in 0..<20 {
            let file = try c.alice.open("tmp", O_WRONLY | O_CREAT | O_TRUNC)
            try c.alice.write(file, "version \(number)")
            try c.alice.rename("tmp", "file")
            try c.equal(try c.alice.text("file"), "version \(number)")
            try c.alice.write(file, "!")
            try c.alice.close(file)
            try c.equal(try c.alice.text("file"), "version \(number)!")
        }
    }
    return table
}
