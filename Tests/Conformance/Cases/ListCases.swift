import Glibc

private let accessName = AccessList.accessName
private let defaultName = AccessList.defaultName

extension Process {
    fileprivate func setList(_ path: Path, _ list: [UInt8], line: UInt = #line) throws {
        try call(.setXattr(.path(path), name: accessName, list, flags: 0), line: line)
    }

    fileprivate func setDefault(_ path: Path, _ list: [UInt8], line: UInt = #line) throws {
        try call(.setXattr(.path(path), name: defaultName, list, flags: 0), line: line)
    }

    fileprivate func list(_ path: Path, line: UInt = #line) throws -> Returned { try call(.getXattr(.path(path), name: accessName, room: 1000), line: line) }

    fileprivate func defaultList(_ path: Path, line: UInt = #line) throws -> Returned {
        try call(.getXattr(.path(path), name: defaultName, room: 1000), line: line)
    }

    fileprivate func hasNoList(_ path: Path, line: UInt = #line) throws {
        try fails(ENODATA, .getXattr(.path(path), name: accessName, room: 1000), line: line)
    }
}

/// Access control lists: acl(5), POSIX.1e draft 17.
func listCases() -> CaseTable {
    var table = CaseTable("list")
    let usual = AccessList.bytes("u::rw-", "u:1002:r--", "g::---", "m::r--", "o::---")
    table.add("named-user") { c in
        try c.alice.put("a", "content", 0o600)
        try c.bob.fails(EACCES, .open("a", flags: O_RDONLY, mode: 0))
        try c.alice.setList("a", usual)
        try c.equal(try c.bob.text("a"), "content")
        try c.bob.fails(EACCES, .open("a", flags: O_WRONLY, mode: 0))
        try c.carol.fails(EACCES, .open("a", flags: O_RDONLY, mode: 0))
        try c.equal(try c.alice.list("a"), .bytes(usual))
        try c.equal(try c.bob.list("a"), .bytes(usual))
        try c.equal(try c.alice.stat("a").mode & 0o777, 0o640)
        try c.equal(try c.alice.xattrs("a"), ["system.posix_acl_access"])
    }
    table.add("named-group") { c in
        try c.alice.put("a", "content", 0o600)
        try c.alice.setList("a", AccessList.bytes("u::rw-", "g::---", "g:1002:rw-", "m::rw-", "o::---"))
        try c.bob.call(.open("a", flags: O_RDWR, mode: 0))
        try c.carol.fails(EACCES, .open("a", flags: O_RDONLY, mode: 0))
    }
    table.add("any-group-that-grants") { c in
        try c.alice.put("a", "content", 0o600)
        try c.alice.setList("a", AccessList.bytes("u::rw-", "g::---", "g:1003:r--", "m::rwx", "o::---"))
        try c.carol.call(.open("a", flags: O_RDONLY, mode: 0))
        try c.carol.fails(EACCES, .open("a", flags: O_WRONLY, mode: 0))
    }
    table.add("groups-before-others") { c in
        try c.alice.put("a", "content", 0o600)
        try c.alice.setList("a", AccessList.bytes("u::rw-", "g::---", "g:1002:---", "m::rwx", "o::rw-"))
        try c.bob.fails(EACCES, .open("a", flags: O_RDONLY, mode: 0))
        try c.carol.fails(EACCES, .open("a", flags: O_RDONLY, mode: 0))
    }
    table.add("mask") { c in
        try c.alice.put("a", "content", 0o600)
        try c.alice.setList("a", AccessList.bytes("u::rw-", "u:1002:rw-", "g::rw-", "m::r--", "o::---"))
        try c.bob.call(.open("a", flags: O_RDONLY, mode: 0))
        try c.bob.fails(EACCES, .open("a", flags: O_WRONLY, mode: 0))
        try c.carol.fails(EACCES, .open("a", flags: O_WRONLY, mode: 0))
        try c.alice.call(.open("a", flags: O_RDWR, mode: 0))
    }
    table.add("chmod-sets-the-mask") { c in
        try c.alice.put("a", "content", 0o600)
        try c.alice.setList("a", AccessList.bytes("u::rw-", "u:1002:rw-", "g::r--", "m::rw-", "o::---"))
        try c.alice.chmod("a", 0o754)
        try c.equal(try c.alice.list("a"), .bytes(AccessList.bytes("u::rwx", "u:1002:rw-", "g::r--", "m::r-x", "o::r--")))
        try c.bob.fails(EACCES, .open("a", flags: O_WRONLY, mode: 0))
        try c.alice.chmod("a", 0o660)
        try c.bob.call(.open("a", flags: O_WRONLY, mode: 0))
        try c.equal(try c.alice.stat("a").mode & 0o777, 0o660)
    }
    table.add("chmod-of-a-changed-file") { c in
        try c.alice.put("a", "content", 0o600)
        try c.alice.setList("a", usual)
        let file = try c.alice.open("a", O_RDWR)
        try c.alice.write(file, "other")
        try c.alice.chmod("a", 0o600)
        try c.equal(try c.alice.list("a"), .bytes(AccessList.bytes("u::rw-", "u:1002:r--", "g::---", "m::---", "o::---")))
        try c.bob.fails(EACCES, .open("a", flags: O_RDONLY, mode: 0))
        try c.equal(try c.alice.text("a"), "othernt")
    }
    table.add("minimal-list-is-a-mode") { c in
        try c.alice.put("a", "", 0o600)
        try c.alice.setList("a", AccessList.bytes("u::rwx", "g::r-x", "o::--x"))
        try c.equal(try c.alice.stat("a").mode & 0o7777, 0o751)
        try c.alice.hasNoList("a")
        try c.equal(try c.alice.xattrs("a"), [])
        try c.alice.setList("a", usual)
        try c.alice.setList("a", AccessList.bytes("u::rw-", "g::r--", "o::---"))
        try c.alice.hasNoList("a")
        try c.equal(try c.alice.stat("a").mode & 0o7777, 0o640)
    }
    table.add("list-with-a-mask-only") { c in
        try c.alice.put("a", "", 0o600)
        let value = AccessList.bytes("u::rw-", "g::rw-", "m::r--", "o::---")
        try c.alice.setList("a", value)
        try c.equal(try c.alice.list("a"), .bytes(value))
        try c.carol.fails(EACCES, .open("a", flags: O_WRONLY, mode: 0))
    }
    table.add("removed") { c in
        try c.alice.put("a", "", 0o600)
        try c.alice.setList("a", usual)
        try c.alice.call(.removeXattr(.path("a"), name: accessName))
        try c.alice.hasNoList("a")
        try c.equal(try c.alice.stat("a").mode & 0o777, 0o640)
        try c.bob.fails(EACCES, .open("a", flags: O_RDONLY, mode: 0))
        try c.alice.call(.removeXattr(.path("a"), name: accessName))
    }
    table.add("times") { c in
        try c.alice.put("a", "", 0o600)
        try c.stamps(.changed, .path("a")) { try c.alice.setList("a", usual) }
    }
    table.add("owner-only") { c in
        try c.alice.put("a", "", 0o666)
        try c.bob.fails(EPERM, .setXattr(.path("a"), name: accessName, usual, flags: 0))
        try c.bob.fails(EPERM, .removeXattr(.path("a"), name: accessName))
        try c.root.setList("a", usual)
        try c.equal(try c.alice.list("a"), .bytes(usual))
    }
    table.add("kinds") { c in
        try c.alice.put("a", "", 0o600)
        try c.alice.fails(EACCES, .setXattr(.path("a"), name: defaultName, usual, flags: 0))
        try c.alice.fails(ENODATA, .getXattr(.path("a"), name: defaultName, room: 100))
        try c.alice.symlink("a", "s")
        try c.alice.fails(EOPNOTSUPP, .setXattr(.link("s"), name: accessName, usual, flags: 0))
        try c.alice.fails(EOPNOTSUPP, .getXattr(.link("s"), name: accessName, room: 100))
        try c.alice.mknod("fifo", Flags.fifo | 0o600)
        try c.alice.setList("fifo", usual)
        try c.equal(try c.alice.list("fifo"), .bytes(usual))
    }
    for (text, value) in [
        ("no-owner", AccessList.bytes("g::r--", "o::r--")), ("no-group", AccessList.bytes("u::r--", "o::r--")), ("no-other", AccessList.bytes("u::r--", "g::r--")),
        ("no-mask", AccessList.bytes("u::r--", "u:1002:r--", "g::r--", "o::r--")), ("order", AccessList.bytes("g::r--", "u::r--", "o::r--")),
        ("two-masks", AccessList.bytes("u::r--", "g::r--", "m::r--", "m::r--", "o::r--")), ("two-owners", AccessList.bytes("u::r--", "u::r--", "g::r--", "o::r--")),
        ("cut", Array(AccessList.bytes("u::r--", "g::r--", "o::r--").dropLast(3))), ("permissions", AccessList.bytes("u::r--", "g::r--") + [0x20, 0, 8, 0, 255, 255, 255, 255]),
        ("tag", AccessList.bytes("u::r--", "g::r--", "o::r--") + [0x40, 0, 4, 0, 255, 255, 255, 255]),
    ] {
        table.add("invalid-\(text)") { c in
            try c.alice.put("a", "", 0o600)
            try c.alice.fails(EINVAL, .setXattr(.path("a"), name: accessName, value, flags: 0))
            try c.alice.mkdir("d", 0o700)
            try c.alice.fails(EINVAL, .setXattr(.path("d"), name: defaultName, value, flags: 0))
            try c.equal(try c.alice.stat("a").mode & 0o777, 0o600)
        }
    }
    table.add("set-group-id-of-a-foreign-group") { c in
        try c.root.put("a", "", 0o600)
        for (group, kept) in [(UInt32(1001), UInt32(0o2000)), (1003, 0o2000), (1002, 0)] {
            try c.root.chown("a", 1003, group)
            try c.root.chmod("a", 0o2750)
            try c.carol.setList("a", AccessList.bytes("u::rwx", "u:1002:r--", "g::r-x", "m::r-x", "o::---"))
            try c.equal(try c.root.stat("a").mode & 0o7000, kept, "set-group-id with group \(group)")
        }
        try c.root.chmod("a", 0o2750)
        try c.root.setList("a", usual)
        try c.equal(try c.root.stat("a").mode & 0o7000, 0o2000)
    }
    inheritance(&table)
    table.addTwo("seen-on-the-other-mount") { one, two in
        try one.alice.put("a", "content", 0o600)
        try two.bob.fails(EACCES, .open("a", flags: O_RDONLY, mode: 0))
        try one.alice.setList("a", usual)
        try one.equal(try two.bob.text("a"), "content")
        try one.equal(try two.alice.list("a"), .bytes(usual))
        try two.alice.chmod("a", 0o600)
        try one.bob.fails(EACCES, .open("a", flags: O_RDONLY, mode: 0))
        try two.alice.chmod("a", 0o640)
        try one.equal(try one.bob.text("a"), "content")
        try one.alice.call(.removeXattr(.path("a"), name: accessName))
        try two.alice.hasNoList("a")
        try two.bob.fails(EACCES, .open("a", flags: O_RDONLY, mode: 0))
    }
    table.addTwo("read-again-and-again") { one, two in
        try one.alice.put("a", "content", 0o600)
        for permissions in ["r--", "rw-", "rwx", "--x", "r-x", "-w-"] {
            let value = AccessList.bytes("u::rw-", "u:1002:" + permissions, "g::---", "m::rwx", "o::---")
            try one.alice.setList("a", value)
            try one.equal(try two.alice.list("a"), .bytes(value))
            try one.equal(try two.bob.list("a"), .bytes(value))
        }
        for _ in 0..<3 {
            try one.alice.call(.removeXattr(.path("a"), name: accessName))
            try two.alice.hasNoList("a")
            try one.alice.setList("a", usual)
            try one.equal(try two.alice.list("a"), .bytes(usual))
        }
    }
    table.addTwo("default-list-of-the-other-mount") { one, two in
        try one.alice.mkdir("d", 0o755)
        try two.alice.put("d/before", "", 0o666)
        try one.alice.setDefault("d", AccessList.bytes("u::rwx", "u:1002:rw-", "g::r-x", "m::rwx", "o::---"))
        try two.alice.put("d/after", "", 0o666)
        try two.alice.hasNoList("d/before")
        try one.equal(try one.alice.list("d/after"), .bytes(AccessList.bytes("u::rw-", "u:1002:rw-", "g::r-x", "m::rw-", "o::---")))
        try two.alice.call(.removeXattr(.path("d"), name: defaultName))
        try one.alice.put("d/last", "", 0o666)
        try two.alice.hasNoList("d/last")
    }
    return table
}

/// Lists of what is made in a directory with a default list.
private func inheritance(_ table: inout CaseTable) {
    let whole = AccessList.bytes("u::rwx", "u:1002:rwx", "g::r-x", "m::rwx", "o::r-x")
    table.add("inherited-by-files") { c in
        try c.alice.mkdir("d", 0o755)
        try c.alice.setDefault("d", whole)
        try c.equal(try c.alice.defaultList("d"), .bytes(whole))
        try c.alice.hasNoList("d")
        try c.equal(try c.alice.stat("d").mode & 0o777, 0o755)
        try c.alice.put("d/a", "content", 0o640)
        try c.equal(try c.alice.list("d/a"), .bytes(AccessList.bytes("u::rw-", "u:1002:rwx", "g::r-x", "m::r--", "o::---")))
        try c.equal(try c.alice.stat("d/a").mode & 0o7777, 0o640)
        try c.alice.fails(ENODATA, .getXattr(.path("d/a"), name: defaultName, room: 100))
        try c.equal(try c.bob.text("d/a"), "content")
        try c.bob.fails(EACCES, .open("d/a", flags: O_WRONLY, mode: 0))
    }
    table.add("inherited-by-directories") { c in
        try c.alice.mkdir("d", 0o755)
        try c.alice.setDefault("d", whole)
        try c.alice.mkdir("d/e", 0o700)
        try c.equal(try c.alice.defaultList("d/e"), .bytes(whole))
        try c.equal(try c.alice.list("d/e"), .bytes(AccessList.bytes("u::rwx", "u:1002:rwx", "g::r-x", "m::---", "o::---")))
        try c.equal(try c.alice.xattrs("d/e"), ["system.posix_acl_access", "system.posix_acl_default"])
        try c.alice.mkdir("d/e/f", 0o777)
        try c.equal(try c.alice.defaultList("d/e/f"), .bytes(whole))
    }
    table.add("inherited-by-the-others") { c in
        try c.alice.mkdir("d", 0o755)
        try c.alice.setDefault("d", whole)
        try c.alice.mknod("d/fifo", Flags.fifo | 0o666)
        try c.equal(try c.alice.list("d/fifo"), .bytes(AccessList.bytes("u::rw-", "u:1002:rwx", "g::r-x", "m::rw-", "o::r--")))
        try c.alice.symlink("x", "d/s")
        try c.equal(try c.alice.lstat("d/s").mode & 0o777, 0o777)
    }
    table.add("default-instead-of-umask") { c in
        try c.alice.mkdir("d", 0o777)
        try c.alice.call(.umask(0o077))
        try c.alice.put("plain", "", 0o666)
        try c.equal(try c.alice.stat("plain").mode & 0o777, 0o600)
        try c.alice.setDefault("d", AccessList.bytes("u::rwx", "g::rwx", "o::r-x"))
        try c.alice.put("d/a", "", 0o666)
        try c.equal(try c.alice.stat("d/a").mode & 0o777, 0o664)
        try c.alice.hasNoList("d/a")
        try c.alice.mkdir("d/e", 0o777)
        try c.equal(try c.alice.stat("d/e").mode & 0o777, 0o775)
        try c.equal(try c.alice.defaultList("d/e"), .bytes(AccessList.bytes("u::rwx", "g::rwx", "o::r-x")))
        try c.alice.call(.removeXattr(.path("d"), name: defaultName))
        try c.alice.put("d/b", "", 0o666)
        try c.equal(try c.alice.stat("d/b").mode & 0o777, 0o600)
        try c.alice.call(.umask(0))
    }
    table.add("default-and-set-group-id") { c in
        try c.alice.mkdir("d", 0o755)
        try c.alice.chmod("d", 0o2755)
        try c.alice.setDefault("d", whole)
        try c.alice.mkdir("d/e", 0o755)
        try c.equal(try c.alice.stat("d/e").mode & 0o7777, 0o2755)
        try c.equal(try c.alice.stat("d/e").gid, try c.alice.stat("d").gid)
    }
    table.add("link-and-rename-keep-lists") { c in
        try c.alice.put("a", "", 0o600)
        try c.alice.mkdir("d", 0o755)
        try c.alice.setDefault("d", whole)
        try c.alice.link("a", "d/b")
        try c.alice.hasNoList("d/b")
        try c.alice.rename("a", "d/c")
        try c.alice.hasNoList("d/c")
        try c.alice.put("d/f", "", 0o600)
        try c.alice.rename("d/f", "f")
        try c.check(try c.alice.xattrs("f") == ["system.posix_acl_access"], "the list went along")
    }
    table.add("search-by-list") { c in
        try c.alice.mkdir("d", 0o700)
        try c.alice.put("d/a", "content", 0o644)
        try c.bob.fails(EACCES, .status(.path("d/a")))
        try c.alice.setList("d", AccessList.bytes("u::rwx", "u:1002:--x", "g::---", "m::--x", "o::---"))
        try c.equal(try c.bob.text("d/a"), "content")
        try c.bob.fails(EACCES, .open("d", flags: O_RDONLY | O_DIRECTORY, mode: 0))
        try c.bob.fails(EACCES, .unlink("d/a"))
        try c.alice.setList("d", AccessList.bytes("u::rwx", "u:1002:-wx", "g::---", "m::-wx", "o::---"))
        try c.bob.unlink("d/a")
    }
}
