import Glibc

/// xattr(7).
func xattrCases() -> CaseTable {
    var table = CaseTable("xattr")
    @Sendable func name(_ text: String) -> [UInt8] { Array(text.utf8) }
    table.add("set-get-list-remove") { c in
        try c.alice.put("a")
        try c.alice.setXattr("a", "user.one", "first")
        try c.alice.setXattr("a", "user.two", "second")
        try c.equal(try c.alice.xattr("a", "user.one"), "first")
        try c.equal(try c.alice.xattrs("a"), ["user.one", "user.two"])
        try c.alice.call(.removeXattr(.path("a"), name: name("user.one")))
        try c.equal(try c.alice.xattrs("a"), ["user.two"])
        try c.alice.fails(ENODATA, .getXattr(.path("a"), name: name("user.one"), room: 100))
        try c.alice.fails(ENODATA, .removeXattr(.path("a"), name: name("user.one")))
    }
    table.add("replaced-value") { c in
        try c.alice.put("a")
        for value in ["short", "a much longer value than before", "", "x"] {
            try c.alice.setXattr("a", "user.x", value)
            try c.equal(try c.alice.xattr("a", "user.x"), value)
        }
        try c.equal(try c.alice.xattrs("a"), ["user.x"])
    }
    table.add("flags") { c in
        try c.alice.put("a")
        try c.alice.fails(ENODATA, .setXattr(.path("a"), name: name("user.x"), [1], flags: Flags.xattrReplace))
        try c.alice.setXattr("a", "user.x", "one", Flags.xattrCreate)
        try c.alice.fails(EEXIST, .setXattr(.path("a"), name: name("user.x"), [1], flags: Flags.xattrCreate))
        try c.alice.setXattr("a", "user.x", "two", Flags.xattrReplace)
        try c.equal(try c.alice.xattr("a", "user.x"), "two")
        try c.alice.fails(EINVAL, .setXattr(.path("a"), name: name("user.x"), [1], flags: 8))
    }
    table.add("binary-value") { c in
        try c.alice.put("a")
        let value = (0...255).map { UInt8($0) }
        try c.alice.call(.setXattr(.path("a"), name: name("user.x"), value, flags: 0))
        try c.equal(try c.alice.call(.getXattr(.path("a"), name: name("user.x"), room: 1000)), .bytes(value))
    }
    table.add("empty-value") { c in
        try c.alice.put("a")
        try c.alice.setXattr("a", "user.x", "")
        try c.equal(try c.alice.call(.getXattr(.path("a"), name: name("user.x"), room: 0)), .number(0))
        try c.equal(try c.alice.call(.getXattr(.path("a"), name: name("user.x"), room: 10)), .bytes([]))
        try c.equal(try c.alice.xattrs("a"), ["user.x"])
    }
    table.add("room") { c in
        try c.alice.put("a")
        try c.alice.setXattr("a", "user.x", "0123456789")
        try c.equal(try c.alice.call(.getXattr(.path("a"), name: name("user.x"), room: 0)), .number(10))
        try c.alice.fails(ERANGE, .getXattr(.path("a"), name: name("user.x"), room: 9))
        try c.equal(try c.alice.call(.getXattr(.path("a"), name: name("user.x"), room: 10)), .bytes(Array("0123456789".utf8)))
        try c.equal(try c.alice.call(.listXattr(.path("a"), room: 0)), .number(7))
        try c.alice.fails(ERANGE, .listXattr(.path("a"), room: 6))
        try c.equal(try c.alice.call(.listXattr(.path("a"), room: 7)), .bytes(Array("user.x".utf8) + [0]))
    }
    table.add("none") { c in
        try c.alice.put("a")
        try c.equal(try c.alice.xattrs("a"), [])
        try c.equal(try c.alice.call(.listXattr(.path("a"), room: 0)), .number(0))
        try c.alice.fails(ENODATA, .getXattr(.path("a"), name: name("user.x"), room: 0))
    }
    table.add("name-limits") { c in
        try c.alice.put("a")
        let longest = Array("user.".utf8) + [UInt8](repeating: 0x78, count: 250)
        try c.alice.call(.setXattr(.path("a"), name: longest, [1], flags: 0))
        try c.equal(try c.alice.call(.getXattr(.path("a"), name: longest, room: 10)), .bytes([1]))
        try c.alice.fails(ERANGE, .setXattr(.path("a"), name: longest + [0x78], [1], flags: 0))
        try c.alice.fails(ERANGE, .getXattr(.path("a"), name: longest + [0x78], room: 10))
        try c.alice.fails(ERANGE, .removeXattr(.path("a"), name: longest + [0x78]))
        try c.alice.fails(ERANGE, .setXattr(.path("a"), name: [], [1], flags: 0))
    }
    table.add("value-limits") { c in
        try c.alice.put("a")
        try c.alice.fails(E2BIG, .setXattr(.path("a"), name: name("user.x"), pattern(65_537), flags: 0))
        try c.alice.call(.setXattr(.path("a"), name: name("user.x"), pattern(2000), flags: 0))
        try c.equal(try c.alice.call(.getXattr(.path("a"), name: name("user.x"), room: 4000)), .bytes(pattern(2000)))
    }
    table.add("value-of-64-kib", except: [.oracle: "ext4 keeps them in a block of the filesystem, 4 KiB"]) { c in
        try c.alice.put("a")
        try c.alice.call(.setXattr(.path("a"), name: name("user.x"), pattern(65_536), flags: 0))
        try c.equal(try c.alice.call(.getXattr(.path("a"), name: name("user.x"), room: 65_536)), .bytes(pattern(65_536)))
        try c.alice.call(.setXattr(.path("a"), name: name("user.y"), pattern(60_000), flags: 0))
        try c.alice.fails([ENOSPC, EDQUOT], .setXattr(.path("a"), name: name("user.z"), pattern(60_000), flags: 0))
        try c.equal(try c.alice.xattrs("a"), ["user.x", "user.y"])
    }
    table.add("namespaces") { c in
        try c.alice.put("a")
        for text in ["plain", "nothing.x", "system.x"] {
            try c.alice.fails(EOPNOTSUPP, .setXattr(.path("a"), name: name(text), [1], flags: 0))
            try c.alice.fails(EOPNOTSUPP, .getXattr(.path("a"), name: name(text), room: 10))
        }
        try c.root.fails(EOPNOTSUPP, .setXattr(.path("a"), name: name("nothing.x"), [1], flags: 0))
    }
    table.add("prefix-alone") { c in
        try c.root.put("a")
        for text in ["user.", "trusted."] {
            try c.root.fails([EINVAL, EOPNOTSUPP], .setXattr(.path("a"), name: name(text), [1], flags: 0))
        }
    }
    table.add("trusted-is-roots") { c in
        try c.root.put("a", "", 0o666)
        try c.root.setXattr("a", "trusted.x", "secret")
        try c.equal(try c.root.xattr("a", "trusted.x"), "secret")
        try c.alice.fails(EPERM, .setXattr(.path("a"), name: name("trusted.y"), [1], flags: 0))
        try c.alice.fails([ENODATA, EPERM], .getXattr(.path("a"), name: name("trusted.x"), room: 100))
        try c.alice.fails(EPERM, .removeXattr(.path("a"), name: name("trusted.x")))
        try c.equal(try c.root.xattrs("a"), ["trusted.x"])
        try c.equal(try c.alice.xattrs("a"), [], "names that a user sees")
    }
    table.add("security") { c in
        try c.root.put("a", "", 0o666)
        try c.root.setXattr("a", "security.test", "label")
        try c.equal(try c.alice.xattr("a", "security.test"), "label")
        try c.alice.fails(EPERM, .setXattr(.path("a"), name: name("security.test"), [1], flags: 0))
        try c.equal(try c.root.xattrs("a"), ["security.test"])
    }
    table.add("permissions") { c in
        try c.alice.put("a", "", 0o644)
        try c.alice.setXattr("a", "user.x", "value")
        try c.equal(try c.bob.xattr("a", "user.x"), "value")
        try c.bob.fails(EACCES, .setXattr(.path("a"), name: name("user.x"), [1], flags: 0))
        try c.bob.fails(EACCES, .removeXattr(.path("a"), name: name("user.x")))
        try c.alice.chmod("a", 0o600)
        try c.bob.fails(EACCES, .getXattr(.path("a"), name: name("user.x"), room: 100))
        try c.equal(try c.bob.xattrs("a"), ["user.x"], "listing needs no permission")
        try c.alice.chmod("a", 0o666)
        try c.bob.setXattr("a", "user.x", "other")
        try c.equal(try c.alice.xattr("a", "user.x"), "other")
    }
    table.add("user-on-other-kinds") { c in
        try c.alice.symlink("nowhere", "s")
        try c.alice.mknod("f", Flags.fifo | 0o666)
        try c.root.mknod("c", Flags.characterDevice | 0o666, 0x0103)
        try c.root.fails(EPERM, .setXattr(.link("s"), name: name("user.x"), [1], flags: 0))
        try c.alice.fails(EPERM, .setXattr(.path("f"), name: name("user.x"), [1], flags: 0))
        try c.root.fails(EPERM, .setXattr(.path("c"), name: name("user.x"), [1], flags: 0))
        try c.root.fails(ENODATA, .getXattr(.link("s"), name: name("user.x"), room: 10))
        try c.root.call(.setXattr(.link("s"), name: name("trusted.x"), [1], flags: 0))
        try c.equal(try c.root.call(.getXattr(.link("s"), name: name("trusted.x"), room: 10)), .bytes([1]))
    }
    table.add("directory") { c in
        try c.alice.mkdir("d")
        try c.alice.setXattr("d", "user.x", "value")
        try c.equal(try c.alice.xattr("d", "user.x"), "value")
        try c.root.mkdir("sticky", 0o777)
        try c.root.chmod("sticky", 0o1777)
        try c.alice.fails(EPERM, .setXattr(.path("sticky"), name: name("user.x"), [1], flags: 0))
        try c.alice.rmdir("d")
    }
    table.add("times") { c in
        try c.alice.put("a")
        try c.stamps([.changed], .path("a")) { try c.alice.setXattr("a", "user.x", "1") }
        try c.stamps([.changed], .path("a")) { try c.alice.setXattr("a", "user.x", "2") }
        try c.stamps([.changed], .path("a")) { try c.alice.call(.removeXattr(.path("a"), name: name("user.x"))) }
        try c.stamps([], .path("a")) { _ = c.alice.perform(.getXattr(.path("a"), name: name("user.x"), room: 10)) }
        try c.stamps([], .path("a")) { _ = c.alice.perform(.removeXattr(.path("a"), name: name("user.x"))) }
    }
    table.add("by-descriptor") { c in
        try c.alice.put("a")
        let file = try c.alice.open("a", O_RDWR)
        try c.alice.call(.setXattr(.descriptor(file), name: name("user.x"), [1, 2], flags: 0))
        try c.equal(try c.alice.call(.getXattr(.descriptor(file), name: name("user.x"), room: 10)), .bytes([1, 2]))
        try c.equal(try c.alice.call(.listXattr(.descriptor(file), room: 100)), .bytes(Array("user.x".utf8) + [0]))
        try c.alice.call(.removeXattr(.descriptor(file), name: name("user.x")))
        try c.equal(try c.alice.xattrs("a"), [])
        try c.alice.fails(EBADF, .getXattr(.descriptor(99), name: name("user.x"), room: 10))
    }
    table.add("stay-with-the-inode") { c in
        try c.alice.put("a")
        try c.alice.setXattr("a", "user.x", "value")
        try c.alice.rename("a", "b")
        try c.alice.link("b", "c")
        try c.alice.unlink("b")
        try c.equal(try c.alice.xattr("c", "user.x"), "value")
        try c.alice.put("a")
        try c.equal(try c.alice.xattrs("a"), [])
    }
    table.add("errors") { c in
        try c.alice.fails(ENOENT, .getXattr(.path("x"), name: name("user.x"), room: 10))
        try c.alice.fails(ENOENT, .setXattr(.path("x"), name: name("user.x"), [1], flags: 0))
        try c.alice.fails(ENOENT, .listXattr(.path("x"), room: 10))
        try c.alice.fails(ENOENT, .removeXattr(.path("x"), name: name("user.x")))
    }
    table.add("many") { c in
        try c.alice.put("a")
        for number in 0..<50 { try c.alice.setXattr("a", "user.n\(number)", "value \(number)") }
        try c.equal(try c.alice.xattrs("a").count, 50)
        for number in stride(from: 0, to: 50, by: 2) { try c.alice.call(.removeXattr(.path("a"), name: name("user.n\(number)"))) }
        try c.equal(try c.alice.xattrs("a").count, 25)
        try c.equal(try c.alice.xattr("a", "user.n49"), "value 49")
    }
    return table
}
