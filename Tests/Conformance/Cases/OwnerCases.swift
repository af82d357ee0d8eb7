import Glibc

/// chmod(2), chown(2), and how they and writing take set-id bits away.
func ownerCases() -> CaseTable {
    var table = CaseTable("owner")
    table.add("chmod") { c in
        try c.alice.put("a")
        for mode: UInt32 in [0o000, 0o777, 0o4755, 0o2755, 0o1755, 0o7777, 0o640] {
            try c.alice.chmod("a", mode)
            try c.equal(try c.alice.stat("a").mode, Flags.file | mode)
        }
        try c.alice.mkdir("d")
        for mode: UInt32 in [0o000, 0o1777, 0o2755, 0o7777, 0o755] {
            try c.alice.chmod("d", mode)
            try c.equal(try c.root.stat("d").mode, Flags.directoryType | mode)
        }
    }
    table.add("chmod-by-descriptor") { c in
        try c.alice.put("a")
        let file = try c.alice.open("a")
        try c.alice.call(.chmod(.descriptor(file), 0o604))
        try c.equal(try c.alice.stat("a").permissions, 0o604)
        let directory = try c.alice.open(".")
        try c.alice.fails(EPERM, .chmod(.descriptor(directory), 0o755))
        try c.root.call(.chmod(.descriptor(directory), 0o775))
        try c.equal(try c.alice.stat(".").permissions, 0o775)
        try c.alice.fails(EBADF, .chmod(.descriptor(99), 0o755))
    }
    table.add("chmod-errors") { c in
        try c.alice.put("a")
        try c.bob.fails(EPERM, .chmod(.path("a"), 0o777))
        try c.carol.fails(EPERM, .chmod(.path("a"), 0o777))
        try c.alice.fails(ENOENT, .chmod(.path("x"), 0o777))
        try c.alice.fails(ENOTDIR, .chmod(.path("a/x"), 0o777))
        try c.root.chmod("a", 0o601)
        try c.equal(try c.alice.stat("a").permissions, 0o601)
    }
    table.add("chmod-follows-symlinks") { c in
        try c.alice.put("a")
        try c.alice.symlink("a", "s")
        try c.alice.chmod("s", 0o600)
        try c.equal(try c.alice.stat("a").permissions, 0o600)
        try c.equal(try c.alice.lstat("s").permissions, 0o777)
    }
    table.add("chmod-times") { c in
        try c.alice.put("a")
        try c.alice.mkdir("d")
        try c.stamps([.changed], .path("a")) { try c.alice.chmod("a", 0o600) }
        try c.stamps([.changed], .path("a")) { try c.alice.chmod("a", 0o600) }
        try c.stamps([.changed], .path("d")) { try c.alice.chmod("d", 0o700) }
        try c.stamps([], .path("a")) { c.bob.perform(.chmod(.path("a"), 0o777)).expectFailed() }
    }
    table.add("chmod-of-a-foreign-group-loses-setgid") { c in
        try c.alice.put("a", "", 0o755)
        try c.root.chown("a", 1001, 1002)
        try c.alice.chmod("a", 0o2755)
        try c.equal(try c.alice.stat("a").permissions, 0o755)
        try c.root.chmod("a", 0o2755)
        try c.equal(try c.alice.stat("a").permissions, 0o2755)
        try c.carol.put("b", "", 0o755)
        try c.root.chown("b", 1003, 1001)
        try c.carol.chmod("b", 0o2755)
        try c.equal(try c.alice.stat("b").permissions, 0o2755, "by a supplementary group")
    }
    table.add("chmod-of-an-open-file") { c in
        try c.alice.put("a", "content", 0o600)
        let file = try c.alice.open("a", O_RDWR)
        try c.alice.chmod("a", 0o000)
        try c.alice.pwrite(file, "X", at: 0)
        try c.equal(try c.alice.fstat(file).permissions, 0)
        try c.equal(try c.alice.pread(file, 10, at: 0), Array("Xontent".utf8))
    }
    table.add("chown") { c in
        try c.root.put("a")
        try c.root.chown("a", 1001, 1002)
        try c.equal(try c.root.stat("a").uid, 1001)
        try c.equal(try c.root.stat("a").gid, 1002)
        try c.root.chown("a", nil, 5)
        try c.equal(try c.root.stat("a").uid, 1001)
        try c.equal(try c.root.stat("a").gid, 5)
        try c.root.chown("a", 77, nil)
        try c.equal(try c.root.stat("a").uid, 77)
        try c.equal(try c.root.stat("a").gid, 5)
        try c.root.chown("a", 4_000_000_000, 4_000_000_001)
        try c.equal(try c.root.stat("a").uid, 4_000_000_000)
        try c.equal(try c.root.stat("a").gid, 4_000_000_001)
    }
    table.add("chown-symlinks") { c in
        try c.root.put("a")
        try c.root.symlink("a", "s")
        try c.root.chown("s", 1001, 1001)
        try c.equal(try c.root.lstat("s").uid, 1001)
        try c.equal(try c.root.stat("a").uid, 0)
        try c.root.call(.chown(.path("s"), 1002, 1002))
        try c.equal(try c.root.lstat("s").uid, 1001)
        try c.equal(try c.root.stat("a").uid, 1002)
    }
    table.add("chown-errors") { c in
        try c.alice.put("a")
        try c.alice.fails(EPERM, .chown(.path("a"), 1002, nil))
        try c.alice.fails(EPERM, .chown(.path("a"), nil, 1002))
        try c.bob.fails(EPERM, .chown(.path("a"), 1002, nil))
        try c.bob.fails(EPERM, .chown(.path("a"), nil, 1002))
        try c.alice.fails(ENOENT, .chown(.path("x"), nil, 1001))
        try c.alice.call(.chown(.path("a"), 1001, 1001))
        try c.alice.call(.chown(.path("a"), nil, nil))
        try c.carol.put("b")
        try c.carol.call(.chown(.path("b"), nil, 1001))
        try c.equal(try c.carol.stat("b").gid, 1001, "to a supplementary group")
        try c.root.fails(EBADF, .chown(.descriptor(99), 1, 1))
    }
    table.add("chown-by-descriptor") { c in
        try c.root.put("a")
        let file = try c.root.open("a")
        try c.root.call(.chown(.descriptor(file), 1001, nil))
        try c.equal(try c.root.stat("a").uid, 1001)
    }
    table.add("chown-times") { c in
        try c.root.put("a")
        try c.stamps([.changed], .path("a")) { try c.root.chown("a", 1001, 1001) }
        try c.stamps([.changed], .path("a")) { try c.root.chown("a", 1001, 1001) }
    }
    table.add("chown-takes-set-id-away") { c in
        for (mode, left) in [(UInt32(0o6777), UInt32(0o777)), (0o4755, 0o755), (0o2755, 0o755), (0o6711, 0o711)] {
            try c.carol.put("a", "", 0o777)
            try c.carol.chmod("a", mode)
            try c.carol.call(.chown(.path("a"), nil, 1001))
            try c.equal(try c.root.stat("a").permissions, left, "after chown of 0\(String(mode, radix: 8))")
            try c.root.unlink("a")
        }
    }
    table.add("chown-by-root-takes-set-id-away") { c in
        try c.alice.put("a", "", 0o777)
        try c.root.chmod("a", 0o6755)
        try c.root.chown("a", 1002, 1002)
        try c.equal(try c.root.stat("a").permissions, 0o755)
    }
    table.add("chown-keeps-setgid-without-group-execution") { c in
        // Set-gid without execution of the group was mandatory locking; Linux leaves it.
        try c.alice.put("a", "", 0o644)
        try c.root.chmod("a", 0o2644)
        try c.root.chown("a", 1002, 1001)
        try c.equal(try c.root.stat("a").permissions, 0o2644)
    }
    table.add("chown-of-a-directory-keeps-set-id") { c in
        try c.root.mkdir("d")
        try c.root.chmod("d", 0o6755)
        try c.root.chown("d", 1001, 1001)
        try c.equal(try c.root.stat("d").permissions, 0o6755)
    }
    table.add("writing-takes-set-id-away") { c in
        for mode: UInt32 in [0o4755, 0o2755, 0o6755, 0o6777] {
            try c.alice.put("a", "content", 0o777)
            try c.root.chmod("a", 0o777 & mode | 0o022)
            let file = try c.bob.open("a", O_WRONLY)
            try c.root.chmod("a", mode | 0o022)
            try c.bob.pwrite(file, "x", at: 0)
            try c.equal(try c.root.stat("a").permissions, mode & 0o777 | 0o022, "after a write to 0\(String(mode, radix: 8))")
            try c.bob.close(file)
            try c.root.unlink("a")
        }
    }
    table.add("appending-takes-set-id-away") { c in
        for (mode, left) in [(UInt32(0o4777), UInt32(0o777)), (0o2777, 0o777), (0o6777, 0o777), (0o1777, 0o1777), (0o2767, 0o2767)] {
            try c.alice.put("a", "content")
            try c.alice.chmod("a", mode)
            let file = try c.carol.open("a", O_WRONLY | O_APPEND)
            try c.equal(try c.alice.stat("a").permissions, mode)
            try c.carol.write(file, "more")
            try c.equal(try c.alice.stat("a").permissions, left)
            try c.carol.close(file)
            try c.alice.chmod("a", mode)
            let other = try c.root.open("a", O_WRONLY | O_APPEND)
            try c.root.write(other, "more")
            try c.equal(try c.alice.stat("a").permissions, mode)
            try c.root.close(other)
        }
    }
    table.add("root-writing-keeps-set-id") { c in
        try c.alice.put("a", "content", 0o777)
        try c.root.chmod("a", 0o6777)
        let file = try c.root.open("a", O_WRONLY)
        try c.root.pwrite(file, "x", at: 0)
        try c.equal(try c.root.stat("a").permissions, 0o6777)
    }
    table.add("truncating-takes-set-id-away") { c in
        try c.alice.put("a", "content", 0o777)
        try c.root.chmod("a", 0o6777)
        try c.bob.truncate("a", 3)
        try c.equal(try c.root.stat("a").permissions, 0o777)
        try c.root.chmod("a", 0o6777)
        try c.bob.close(try c.bob.open("a", O_WRONLY | O_TRUNC))
        try c.equal(try c.root.stat("a").permissions, 0o777)
    }
    table.add("allocating-takes-set-id-away") { c in
        for mode: Int32 in [0, Flags.keepSize | Flags.punchHole, Flags.zeroRange] {
            try c.alice.put("a", pattern(10_000), 0o777)
            let file = try c.bob.open("a", O_RDWR)
            try c.root.chmod("a", 0o6777)
            try c.bob.allocate(file, mode, 0, 5000)
            try c.equal(try c.root.stat("a").permissions, 0o777, "after mode \(mode)")
            try c.bob.close(file)
            try c.root.unlink("a")
        }
    }
    table.add("copying-takes-set-id-away") { c in
        try c.alice.put("a", "content", 0o777)
        try c.alice.put("b", pattern(10_000), 0o644)
        let (from, to) = (try c.bob.open("b"), try c.bob.open("a", O_RDWR))
        try c.root.chmod("a", 0o6777)
        try c.equal(try c.bob.copy(from, 0, to, 0, 10_000), 10_000)
        try c.equal(try c.root.stat("a").permissions, 0o777)
    }
    return table
}
