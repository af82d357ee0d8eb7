import Glibc

/// mknod(2): every kind of inode.
func nodeCases() -> CaseTable {
    var table = CaseTable("nodes")
    for (name, kind, device) in [
        ("fifo", Flags.fifo, UInt32(0)), ("socket", Flags.socket, 0), ("file", Flags.file, 0), ("character-device", Flags.characterDevice, 0x0103),
        ("block-device", Flags.blockDevice, 0x0705), ("large-device", Flags.characterDevice, 0xFFFF),
    ] {
        table.add(name) { c in
            try c.root.mkdir("d")
            try c.stamps([.modified, .changed], .path("d")) { try c.root.mknod("d/n", kind | 0o640, device) }
            let status = try c.root.lstat("d/n")
            try c.equal(status.mode, kind | 0o640, "mode")
            try c.equal(status.links, 1)
            try c.equal(status.size, 0)
            if device != 0 { try c.equal(status.device, UInt64(device), "device") }
            try c.root.chmod("d/n", 0o600)
            try c.root.chown("d/n", 1001, 1002)
            try c.root.setTimes("d/n", Time(5, 5), Time(6, 6))
            try c.root.link("d/n", "d/o")
            try c.root.rename("d/n", "p")
            let moved = try c.root.lstat("p")
            try c.equal(moved.mode, kind | 0o600)
            try c.equal(moved.uid, 1001)
            try c.equal(moved.modified, Time(6, 6))
            try c.equal(moved.links, 2)
            try c.root.unlink("p")
            try c.root.unlink("d/o")
            try c.root.rmdir("d")
        }
    }
    table.add("no-type-means-file") { c in
        try c.alice.mknod("a", 0o644)
        try c.equal(try c.alice.stat("a").mode, Flags.file | 0o644)
        try c.alice.put("a", "usable")
        try c.equal(try c.alice.text("a"), "usable")
    }
    table.add("errors") { c in
        try c.alice.put("a")
        try c.alice.fails(EEXIST, .makeNode("a", mode: Flags.fifo | 0o644, device: 0))
        try c.alice.fails(ENOENT, .makeNode("x/y", mode: Flags.fifo | 0o644, device: 0))
        try c.alice.fails(ENOTDIR, .makeNode("a/x", mode: Flags.fifo | 0o644, device: 0))
        try c.root.fails(EPERM, .makeNode("d", mode: Flags.directoryType | 0o755, device: 0))
        try c.root.fails(EINVAL, .makeNode("s", mode: Flags.symlink | 0o755, device: 0))
        try c.root.fails(EINVAL, .makeNode("z", mode: 0o150000 | 0o755, device: 0))
        try c.root.fails([ENOENT, EISDIR], .makeNode("z/", mode: Flags.fifo | 0o644, device: 0))
    }
    return table
}
