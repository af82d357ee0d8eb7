import Glibc

/// getdents64(2), seekdir(3), telldir(3), rewinddir(3).
func directoryCases() -> CaseTable {
    var table = CaseTable("directory")
    @Sendable func fill(_ process: Process, _ count: Int) throws -> [String] {
        let names = (0..<count).map { "entry-\($0)" }
        for name in names { try process.put(Path(name)) }
        return names.sorted()
    }
    @Sendable func plain(_ entries: [Entry]) -> [String] { entries.map { String(decoding: $0.name, as: UTF8.self) }.filter { $0 != "." && $0 != ".." } }

    table.add("dots") { c in
        try c.alice.mkdir("d")
        let entries = try c.alice.list(try c.alice.open("d"))
        try c.equal(entries.map { String(decoding: $0.name, as: UTF8.self) }.sorted(), [".", ".."])
        try c.equal(entries.first { $0.name.count == 1 }?.inode, try c.alice.stat("d").inode)
        try c.equal(entries.first { $0.name.count == 2 }?.inode, try c.alice.stat(".").inode)
        try c.check(entries.allSatisfy { $0.kind == 4 }, "both are directories")
    }
    table.add("kinds-and-inodes") { c in
        try c.root.put("file")
        try c.root.mkdir("directory")
        try c.root.symlink("x", "symlink")
        try c.root.mknod("fifo", Flags.fifo | 0o644)
        try c.root.mknod("socket", Flags.socket | 0o644)
        try c.root.mknod("character", Flags.characterDevice | 0o644, 0x0103)
        try c.root.mknod("block", Flags.blockDevice | 0o644, 0x0700)
        let kinds: [String: UInt8] = ["file": 8, "directory": 4, "symlink": 10, "fifo": 1, "socket": 12, "character": 2, "block": 6]
        let entries = try c.root.list(try c.root.open(".")).filter { $0.name.first != 0x2E }
        try c.equal(entries.count, 7)
        for entry in entries {
            let name = String(decoding: entry.name, as: UTF8.self)
            try c.equal(entry.kind, kinds[name], "kind of \(name)")
            try c.equal(entry.inode, try c.root.lstat(Path(name)).inode, "inode of \(name)")
        }
    }
    for count in [1, 3, 100, 1023, 1024, 1025, 3000] {
        table.add("lists-\(count)") { c in
            let names = try fill(c.alice, count)
            try c.equal(try c.alice.names(), names)
        }
    }
    table.add("small-buffer") { c in
        let names = try fill(c.alice, 50)
        let directory = try c.alice.open(".")
        try c.equal(plain(try c.alice.list(directory, room: 64)).sorted(), names)
        let again = try c.alice.open(".")
        try c.alice.fails(EINVAL, .entries(again, room: 10))
    }
    table.add("rewind-sees-the-present") { c in
        _ = try fill(c.alice, 5)
        let directory = try c.alice.open(".")
        try c.equal(plain(try c.alice.list(directory)).count, 5)
        try c.alice.put("later")
        try c.alice.unlink("entry-0")
        try c.alice.seek(directory, 0)
        try c.equal(plain(try c.alice.list(directory)).sorted(), ["entry-1", "entry-2", "entry-3", "entry-4", "later"])
    }
    table.add("seek-to-each-position") { c in
        _ = try fill(c.alice, 40)
        let directory = try c.alice.open(".")
        let entries = try c.alice.list(directory)
        try c.equal(entries.count, 42)
        for (index, entry) in entries.enumerated().reversed() {
            try c.alice.seek(directory, entry.next)
            try c.equal(try c.alice.list(directory).map(\.name), entries.dropFirst(index + 1).map(\.name), "entries after \(index)")
        }
    }
    table.add("seek-to-each-position-of-many") { c in
        _ = try fill(c.alice, 2500)
        let directory = try c.alice.open(".")
        let entries = try c.alice.list(directory)
        for index in stride(from: 0, to: 2500, by: 311) {
            try c.alice.seek(directory, entries[index].next)
            try c.equal(try c.alice.list(directory).map(\.name), entries.dropFirst(index + 1).map(\.name), "entries after \(index)")
        }
    }
    table.add("removing-while-reading") { c in
        let names = try fill(c.alice, 500)
        let directory = try c.alice.open(".")
        var seen: [String] = []
        while true {
            guard case .entries(let part) = try c.alice.call(.entries(directory, room: 1000)) else { return }
            if part.isEmpty { break }
            for name in plain(part) {
                seen.append(name)
                try c.alice.unlink(Path(name))
            }
        }
        try c.equal(seen.sorted(), names, "every name once")
        try c.equal(try c.alice.names(), [])
    }
    table.add("removing-many-while-reading") { c in
        let names = try fill(c.alice, 2500)
        let directory = try c.alice.open(".")
        var seen: [String] = []
        while true {
            guard case .entries(let part) = try c.alice.call(.entries(directory, room: 4096)) else { return }
            if part.isEmpty { break }
            for name in plain(part) {
                seen.append(name)
                try c.alice.unlink(Path(name))
            }
        }
        try c.equal(seen.sorted(), names, "every name once")
    }
    table.add("adding-while-reading") { c in
        let names = try fill(c.alice, 300)
        let directory = try c.alice.open(".")
        var seen: [String] = []
        var added = 0
        while true {
            guard case .entries(let part) = try c.alice.call(.entries(directory, room: 1000)) else { return }
            if part.isEmpty { break }
            seen += plain(part)
            if added < 100 {
                try c.alice.put(Path("added-\(added)"))
                added += 1
            }
        }
        try c.equal(Set(seen).count, seen.count, "no name comes twice")
        try c.equal(seen.filter { $0.hasPrefix("entry") }.sorted(), names, "what was there is seen")
    }
    table.add("renaming-others-while-reading") { c in
        let names = try fill(c.alice, 300)
        try c.alice.mkdir("other")
        let directory = try c.alice.open(".")
        var seen: [String] = []
        while true {
            guard case .entries(let part) = try c.alice.call(.entries(directory, room: 1000)) else { return }
            if part.isEmpty { break }
            for name in plain(part) where name != "other" {
                seen.append(name)
                try c.alice.rename(Path(name), Path("other/" + name))
            }
        }
        try c.equal(seen.sorted(), names)
        try c.equal(try c.alice.names("other"), names)
    }
    table.add("removed-directory-lists-nothing") { c in
        try c.alice.mkdir("d")
        let directory = try c.alice.open("d")
        try c.alice.rmdir("d")
        let entries = c.alice.perform(.entries(directory, room: 1000))
        try c.check(entries == .entries([]) || entries == .failed(ENOENT), "a removed directory lists \(entries)")
    }
    table.add("list-needs-read-permission") { c in
        try c.alice.mkdir("d", 0o311)
        try c.alice.put("d/a", "x")
        try c.bob.fails(EACCES, .open("d", flags: O_RDONLY, mode: 0))
        try c.equal(try c.bob.text("d/a"), "x")
    }
    table.add("search-needs-permission") { c in
        try c.alice.mkdir("d", 0o744)
        try c.alice.put("d/a", "x")
        try c.equal(try c.bob.names("d"), ["a"])
        try c.bob.fails(EACCES, .status(.path("d/a")))
        try c.bob.fails(EACCES, .open("d/a", flags: O_RDONLY, mode: 0))
        try c.bob.fails(EACCES, .status(.path("d/missing")))
    }
    table.add("not-a-directory") { c in
        try c.alice.put("a")
        let file = try c.alice.open("a")
        try c.alice.fails(ENOTDIR, .entries(file, room: 1000))
        try c.alice.fails(EBADF, .entries(77, room: 1000))
    }
    table.add("names-of-any-bytes") { c in
        for byte in UInt8(1)...255 where byte != 0x2F && byte != 0x2E { try c.alice.put(Path([byte])) }
        try c.alice.put(Path([0x2E, 0x2E, 0x2E]))
        try c.alice.put(Path([0xFF, 0xFE, 0x80]))
        let found = Set(try c.alice.list(try c.alice.open(".")).map(\.name))
        for byte in UInt8(1)...255 where byte != 0x2F && byte != 0x2E { try c.check(found.contains([byte]), "byte \(byte)") }
        try c.equal(found.count, 253 + 2 + 2)
        for byte in UInt8(1)...255 where byte != 0x2F && byte != 0x2E { try c.alice.unlink(Path([byte])) }
    }
    table.add("case-matters") { c in
        try c.alice.put("Name", "one")
        try c.alice.put("name", "two")
        try c.alice.put("n\u{E9}", "composed")
        try c.alice.put("ne\u{301}", "decomposed")
        try c.equal(try c.alice.names().count, 4)
        try c.equal(try c.alice.text("Name"), "one")
        try c.equal(try c.alice.text("n\u{E9}"), "composed")
    }
    return table
}
