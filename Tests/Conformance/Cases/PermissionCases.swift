import Glibc

/// Who may do what: inode(7), path_resolution(7), access(2).
func permissionCases() -> CaseTable {
    var table = CaseTable("permission")
    // Each of the three classes by its own bits, and none of the others'.
    for (mode, owner, group, other) in [
        (UInt32(0o400), "r", "", ""), (0o040, "", "r", ""), (0o004, "", "", "r"), (0o200, "w", "", ""), (0o020, "", "w", ""), (0o002, "", "", "w"),
        (0o640, "rw", "r", ""), (0o604, "rw", "", "r"), (0o046, "", "r", "rw"), (0o077, "", "rw", "rw"), (0o707, "rw", "", "rw"), (0o000, "", "", ""),
        (0o777, "rw", "rw", "rw"),
    ] {
        table.add("classes-0\(String(mode, radix: 8))") { c in
            try c.alice.put("a", "content", mode)
            for (process, may) in [(c.alice, owner), (c.carol, group), (c.bob, other)] {
                for (flags, needed) in [(O_RDONLY, "r"), (O_WRONLY, "w"), (O_RDWR, "rw")] {
                    let call = Call.open("a", flags: flags, mode: 0)
                    if needed.allSatisfy({ may.contains($0) }) { try process.call(call) } else { try process.fails(EACCES, call) }
                }
                for (mode, needed) in [(R_OK, "r"), (W_OK, "w"), (R_OK | W_OK, "rw")] {
                    let call = Call.access("a", Int32(mode))
                    if needed.allSatisfy({ may.contains($0) }) { try process.call(call) } else { try process.fails(EACCES, call) }
                }
            }
            try c.root.close(try c.root.open("a", O_RDWR))
        }
    }
    table.add("access") { c in
        try c.alice.put("a", "", 0o750)
        try c.alice.put("plain", "", 0o644)
        try c.alice.call(.access("a", Int32(R_OK | W_OK | X_OK)))
        try c.carol.call(.access("a", Int32(R_OK | X_OK)))
        try c.carol.fails(EACCES, .access("a", Int32(W_OK)))
        try c.bob.fails(EACCES, .access("a", Int32(R_OK)))
        try c.bob.call(.access("a", F_OK))
        try c.root.call(.access("a", Int32(X_OK)))
        try c.root.fails(EACCES, .access("plain", Int32(X_OK)))
        try c.alice.fails(ENOENT, .access("x", F_OK))
        try c.alice.fails(EINVAL, .access("a", 64))
        try c.alice.fails(ENOTDIR, .access("a/x", F_OK))
    }
    table.add("root-searches-everything") { c in
        try c.alice.mkdir("d", 0o000)
        try c.root.put("d/a", "content")
        try c.equal(try c.root.text("d/a"), "content")
        try c.equal(try c.root.names("d"), ["a"])
        try c.alice.fails(EACCES, .status(.path("d/a")))
    }
    table.add("search-along-the-way") { c in
        try c.alice.mkdir("one", 0o700)
        try c.alice.mkdir("one/two", 0o777)
        try c.alice.put("one/two/a", "", 0o666)
        try c.bob.fails(EACCES, .status(.path("one/two/a")))
        try c.bob.fails(EACCES, .open("one/two/a", flags: O_RDONLY, mode: 0))
        try c.bob.fails(EACCES, .unlink("one/two/a"))
        try c.bob.fails(EACCES, .status(.path("one/missing")))
        try c.alice.symlink("one/two", "s")
        try c.bob.fails(EACCES, .status(.path("s/a")))
    }
    table.add("search-after-chmod") { c in
        try c.alice.mkdir("d", 0o755)
        try c.alice.put("d/a", "content")
        try c.equal(try c.bob.text("d/a"), "content")
        try c.alice.chmod("d", 0o700)
        try c.bob.fails(EACCES, .open("d/a", flags: O_RDONLY, mode: 0))
        try c.alice.chmod("d", 0o755)
        try c.equal(try c.bob.text("d/a"), "content")
        try c.alice.chmod("d/a", 0o600)
        try c.bob.fails(EACCES, .open("d/a", flags: O_RDONLY, mode: 0))
    }
    table.add("changes-in-a-directory-need-write-and-search") { c in
        for mode: UInt32 in [0o555, 0o666, 0o444, 0o333] {
            let name = "d\(String(mode, radix: 8))"
            try c.alice.mkdir(Path(name), 0o777)
            try c.alice.put(Path(name + "/old"))
            try c.alice.mkdir(Path(name + "/olddir"))
            try c.alice.chmod(Path(name), mode)
            let calls: [Call] = [
                .open(Path(name + "/new"), flags: O_WRONLY | O_CREAT, mode: 0o644), .makeDirectory(Path(name + "/newdir"), 0o755),
                .symlink([0x78], Path(name + "/link")), .makeNode(Path(name + "/fifo"), mode: Flags.fifo | 0o644, device: 0),
                .rename(Path(name + "/old"), Path(name + "/renamed"), flags: 0), .unlink(Path(name + "/renamed")), .removeDirectory(Path(name + "/olddir")),
            ]
            for call in calls.dropLast(mode == 0o333 ? 0 : 2) {
                if mode == 0o333 { try c.bob.call(call) } else { try c.bob.fails(EACCES, call) }
            }
        }
    }
    table.add("existing-comes-before-permission") { c in
        try c.alice.mkdir("d", 0o755)
        try c.alice.put("d/a")
        try c.alice.mkdir("d/e")
        try c.bob.fails(EEXIST, .makeDirectory("d/e", 0o755))
        try c.bob.fails(EEXIST, .symlink([0x78], "d/a"))
        try c.bob.fails(ENOENT, .unlink("d/x"))
        try c.bob.fails(ENOENT, .removeDirectory("d/x"))
        try c.bob.fails(EACCES, .unlink("d/a"))
        try c.bob.fails(EEXIST, .open("d/a", flags: O_WRONLY | O_CREAT | O_EXCL, mode: 0o644))
        try c.bob.fails(EACCES, .open("d/b", flags: O_WRONLY | O_CREAT | O_EXCL, mode: 0o644))
    }
    table.add("sticky-directory") { c in
        try c.root.mkdir("d", 0o777)
        try c.root.chmod("d", 0o1777)
        try c.alice.put("d/a")
        try c.alice.mkdir("d/sub")
        try c.bob.fails(EPERM, .unlink("d/a"))
        try c.bob.fails(EPERM, .removeDirectory("d/sub"))
        try c.bob.fails(EPERM, .rename("d/a", "d/b", flags: 0))
        try c.bob.put("d/own")
        try c.bob.unlink("d/own")
        try c.alice.rmdir("d/sub")
        try c.alice.unlink("d/a")
    }
    table.add("sticky-directory-owner-may") { c in
        try c.alice.mkdir("d", 0o777)
        try c.alice.chmod("d", 0o1777)
        try c.bob.put("d/b")
        try c.alice.unlink("d/b")
        try c.bob.put("d/b")
        try c.root.unlink("d/b")
    }
    table.add("link-and-rename-need-no-permission-on-the-file") { c in
        try c.alice.put("a", "", 0o666)
        try c.bob.rename("a", "b")
        try c.bob.unlink("b")
    }
    table.add("open-descriptor-outlives-permission") { c in
        try c.alice.put("a", "content", 0o644)
        let file = try c.bob.open("a")
        try c.alice.chmod("a", 0o000)
        try c.equal(try c.bob.pread(file, 10, at: 0), Array("content".utf8))
        try c.bob.fails(EACCES, .open("a", flags: O_RDONLY, mode: 0))
    }
    table.add("setgid-directory") { c in
        try c.root.mkdir("d", 0o777)
        try c.root.chown("d", 0, 1002)
        try c.root.chmod("d", 0o2777)
        try c.alice.put("d/a", "", 0o644)
        try c.alice.mkdir("d/e", 0o755)
        try c.alice.symlink("x", "d/s")
        try c.alice.mknod("d/f", Flags.fifo | 0o644)
        try c.equal(try c.alice.stat("d/a").gid, 1002)
        try c.equal(try c.alice.stat("d/a").uid, 1001)
        try c.equal(try c.alice.stat("d/a").permissions, 0o644)
        try c.equal(try c.alice.stat("d/e").gid, 1002)
        try c.equal(try c.alice.stat("d/e").permissions, 0o2755)
        try c.equal(try c.alice.lstat("d/s").gid, 1002)
        try c.equal(try c.alice.stat("d/f").gid, 1002)
        try c.alice.mkdir("d/e/g", 0o700)
        try c.equal(try c.alice.stat("d/e/g").permissions, 0o2700)
        try c.equal(try c.alice.stat("d/e/g").gid, 1002)
    }
    table.add("setgid-file-in-a-foreign-group") { c in
        // inode_init_owner: whoever is not in the group makes no file that runs with it.
        try c.root.mkdir("d", 0o777)
        try c.root.chown("d", 0, 1002)
        try c.root.chmod("d", 0o2777)
        try c.alice.put("d/a", "", 0o2755)
        try c.equal(try c.alice.stat("d/a").permissions, 0o755)
        try c.bob.put("d/b", "", 0o2755)
        try c.equal(try c.bob.stat("d/b").permissions, 0o2755)
        try c.alice.put("d/c", "", 0o2644)
        try c.equal(try c.alice.stat("d/c").permissions & 0o2000, try c.root.stat("d/c").permissions & 0o2000)
    }
    table.add("mknod-devices-need-root") { c in
        try c.alice.fails(EPERM, .makeNode("c", mode: Flags.characterDevice | 0o644, device: 0x0103))
        try c.alice.fails(EPERM, .makeNode("b", mode: Flags.blockDevice | 0o644, device: 0x0103))
        try c.alice.mknod("f", Flags.fifo | 0o644)
        try c.alice.mknod("s", Flags.socket | 0o644)
        try c.alice.mknod("r", Flags.file | 0o644)
    }
    return table
}
