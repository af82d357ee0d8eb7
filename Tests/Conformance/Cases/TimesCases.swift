import Glibc

/// utimensat(2) and the times that other calls set.
func timesCases() -> CaseTable {
    var table = CaseTable("times")
    table.add("set") { c in
        try c.alice.put("a")
        for (accessed, modified) in [
            (Time(1_000_000_000, 1), Time(1_100_000_000, 999_999_999)), (Time(0, 0), Time(0, 1)), (Time(4_000_000_000, 5), Time(3_000_000_000, 6)),
            (Time(-1, 500), Time(-1_000_000, 999_999_999)),
        ] {
            try c.alice.setTimes("a", accessed, modified)
            try c.equal(try c.alice.stat("a").accessed, accessed)
            try c.equal(try c.alice.stat("a").modified, modified)
        }
    }
    table.add("set-changes-ctime") { c in
        try c.alice.put("a")
        try c.alice.mkdir("d")
        for path: Path in ["a", "d"] {
            try c.stamps([.accessed, .modified, .changed], .path(path)) { try c.alice.setTimes(path, Time(5, 5), Time(6, 6)) }
            try c.stamps([.changed], .path(path)) { try c.alice.setTimes(path, Time(5, 5), Time(6, 6)) }
        }
    }
    table.add("set-now") { c in
        try c.alice.put("a")
        try c.alice.setTimes("a", Time(5, 5), Time(6, 6))
        try c.alice.setTimes("a", .now, .omit)
        try c.check(try c.alice.stat("a").accessed > Time(1_000_000_000), "atime is now")
        try c.equal(try c.alice.stat("a").modified, Time(6, 6))
        try c.alice.setTimes("a", Time(7, 7), .now)
        try c.equal(try c.alice.stat("a").accessed, Time(7, 7))
        try c.check(try c.alice.stat("a").modified > Time(1_000_000_000), "mtime is now")
        try c.alice.setTimes("a", Time(5, 5), Time(6, 6))
        try c.alice.call(.setTimes(.path("a"), nil))
        let status = try c.alice.stat("a")
        try c.check(status.accessed > Time(1_000_000_000) && status.modified > Time(1_000_000_000), "both are now")
    }
    table.add("omit-both") { c in
        try c.alice.put("a")
        try c.stamps([], .path("a")) { try c.alice.setTimes("a", .omit, .omit) }
        try c.stamps([], .path("a")) { try c.bob.setTimes("a", .omit, .omit) }
    }
    table.add("by-descriptor") { c in
        try c.alice.put("a")
        let file = try c.alice.open("a")
        try c.alice.call(.setTimes(.descriptor(file), (Time(8, 8), Time(9, 9))))
        try c.equal(try c.alice.stat("a").modified, Time(9, 9))
        try c.alice.fails(EBADF, .setTimes(.descriptor(99), (Time(8, 8), Time(9, 9))))
    }
    table.add("of-symlink") { c in
        try c.alice.put("a")
        try c.alice.setTimes("a", Time(5, 5), Time(6, 6))
        try c.alice.symlink("a", "s")
        try c.alice.call(.setTimes(.link("s"), (Time(8, 8), Time(9, 9))))
        try c.equal(try c.alice.lstat("s").modified, Time(9, 9))
        try c.equal(try c.alice.stat("a").modified, Time(6, 6))
        try c.alice.call(.setTimes(.path("s"), (Time(1, 1), Time(2, 2))))
        try c.equal(try c.alice.lstat("s").modified, Time(9, 9))
        try c.equal(try c.alice.stat("a").modified, Time(2, 2))
    }
    table.add("permissions") { c in
        try c.alice.put("a", "", 0o666)
        try c.bob.fails(EPERM, .setTimes(.path("a"), (Time(1, 1), Time(2, 2))))
        try c.bob.fails(EPERM, .setTimes(.path("a"), (.now, .omit)))
        try c.bob.call(.setTimes(.path("a"), nil))
        try c.bob.setTimes("a", .now, .now)
        try c.alice.chmod("a", 0o444)
        try c.bob.fails(EACCES, .setTimes(.path("a"), nil))
        try c.alice.call(.setTimes(.path("a"), nil))
        try c.alice.setTimes("a", Time(1, 1), Time(2, 2))
        try c.root.setTimes("a", Time(3, 3), Time(4, 4))
        try c.equal(try c.alice.stat("a").modified, Time(4, 4))
    }
    table.add("errors") { c in
        try c.alice.put("a")
        try c.alice.fails(ENOENT, .setTimes(.path("x"), (Time(1, 1), Time(2, 2))))
        try c.alice.fails(EINVAL, .setTimes(.path("a"), (Time(1, 1_000_000_000), Time(2, 2))))
        try c.alice.fails(EINVAL, .setTimes(.path("a"), (Time(1, 1), Time(2, -1))))
        try c.alice.fails(ENOTDIR, .setTimes(.path("a/x"), nil))
    }
    table.add("set-times-survive-close-and-sync") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.write(file, "content")
        try c.alice.call(.setTimes(.descriptor(file), (Time(100, 1), Time(200, 2))))
        try c.alice.sync(file)
        try c.alice.close(file)
        try c.equal(try c.alice.stat("a").modified, Time(200, 2))
        try c.equal(try c.alice.stat("a").accessed, Time(100, 1))
        try c.alice.rename("a", "b")
        try c.equal(try c.alice.stat("b").modified, Time(200, 2))
    }
    table.add("write-after-set") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        try c.alice.call(.setTimes(.descriptor(file), (Time(100, 1), Time(200, 2))))
        try c.alice.write(file, "x")
        try c.check(try c.alice.stat("a").modified > Time(1_000_000_000), "mtime is of the write")
        try c.equal(try c.alice.stat("a").accessed, Time(100, 1))
    }
    table.add("changed-never-goes-back") { c in
        let file = try c.alice.open("a", O_RDWR | O_CREAT)
        var last = try c.alice.fstat(file).changed
        for step in 0..<12 {
            c.tick()
            switch step % 6 {
            case 0: try c.alice.write(file, "x")
            case 1: try c.alice.chmod("a", 0o600 + UInt32(step))
            case 2: try c.alice.setTimes("a", Time(1, 1), Time(2, 2))
            case 3: try c.alice.truncate("a", Int64(step))
            case 4: try c.alice.link("a", Path("l\(step)"))
            default: try c.alice.setXattr("a", "user.x", "\(step)")
            }
            let now = try c.alice.fstat(file).changed
            try c.check(now > last, "ctime goes on at step \(step)")
            last = now
        }
    }
    table.add("reading-leaves-mtime-and-ctime") { c in
        try c.alice.put("a", "content")
        try c.alice.mkdir("d")
        try c.alice.symlink("a", "s")
        for (target, call) in [(Target.path("a"), Call.access("a", Int32(R_OK))), (.link("s"), .readLink("s")), (.path("d"), .status(.path("d")))] {
            let changes = try c.times(target) { try c.alice.call(call) }
            try c.check(!changes.contains(.modified) && !changes.contains(.changed), "times after \(call): \(changes)")
        }
        let changes = try c.times(.path("a")) { _ = try c.alice.content("a") }
        try c.check(!changes.contains(.modified) && !changes.contains(.changed), "times after reading")
        let listed = try c.times(.path("d")) { _ = try c.alice.names("d") }
        try c.check(!listed.contains(.modified) && !listed.contains(.changed), "times after listing")
    }
    table.add("no-atime-flag-belongs-to-the-owner") { c in
        try c.alice.put("a", "content", 0o644)
        try c.bob.fails(EPERM, .open("a", flags: O_RDONLY | Flags.noAccessTime, mode: 0))
        try c.alice.close(try c.alice.open("a", O_RDONLY | Flags.noAccessTime))
        try c.root.close(try c.root.open("a", O_RDONLY | Flags.noAccessTime))
    }
    return table
}
