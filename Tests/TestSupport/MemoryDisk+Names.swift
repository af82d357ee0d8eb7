import Runtime

extension MemoryDisk {
    func openNow(_ path: String, _ mode: DiskOpenMode) throws(DiskError) -> MemoryContent {
        let (directory, name) = try locate(path)
        switch (directory.entries[name], mode) {
        case (.file(let file), .existing): return file
        case (nil, .createNew):
            let file = MemoryContent(usage: usage)
            change([NameChange.Part(directory: directory, name: name, entry: .file(file))])
            return file
        case (nil, .existing): throw DiskError(.notFound, errno: 2, "open \(path): no such file")
        case (.file, .createNew): throw DiskError(.exists, errno: 17, "open \(path): exists")
        case (.directory, _): throw DiskError(.failed, errno: 21, "open \(path): is a directory")
        }
    }

    func createDirectoryNow(_ path: String) throws(DiskError) {
        var directory = root
        for name in Self.components(path) {
            switch directory.entries[name] {
            case .directory(let next): directory = next
            case .file: throw DiskError(.exists, errno: 17, "mkdir \(path): \(name) is a file")
            case nil:
                let next = MemoryDirectory()
                change([NameChange.Part(directory: directory, name: name, entry: .directory(next))])
                syncNames(of: directory)
                directory = next
            }
        }
    }

    func renameNow(_ from: String, to: String) throws(DiskError) {
        let (source, sourceName) = try locate(from)
        let (target, targetName) = try locate(to)
        guard let entry = source.entries[sourceName] else { throw DiskError(.notFound, errno: 2, "rename \(from): no such file") }
        if case .directory(let replaced) = target.entries[targetName], !replaced.entries.isEmpty {
            throw DiskError(.exists, errno: 39, "rename \(from): \(to) is not empty")
        }
        if source === target && sourceName == targetName { return }
        change([
            NameChange.Part(directory: source, name: sourceName, entry: nil), NameChange.Part(directory: target, name: targetName, entry: entry),
        ])
    }

    func removeNow(_ path: String) throws(DiskError) {
        let (directory, name) = try locate(path)
        switch directory.entries[name] {
        case nil: throw DiskError(.notFound, errno: 2, "remove \(path): no such file")
        case .directory(let inner) where !inner.entries.isEmpty: throw DiskError(.exists, errno: 39, "remove \(path): not empty")
        default: change([NameChange.Part(directory: directory, name: name, entry: nil)])
        }
    }

    func directory(_ path: String) throws(DiskError) -> MemoryDirectory {
        var directory = root
        for name in Self.components(path) {
            guard case .directory(let next) = directory.entries[name] else {
                throw DiskError(.notFound, errno: 2, "\(path): no such directory")
            }
            directory = next
        }
        return directory
    }

    func file(_ path: String) -> MemoryContent? {
        guard let (directory, name) = try? locate(path), case .file(let file) = directory.entries[name] else { return nil }
        return file
    }

    private func change(_ parts: [NameChange.Part]) {
        for part in parts {
            if case .file(let file) = part.directory.entries[part.name] { file.link(false) }
            part.directory.entries[part.name] = part.entry
            if case .file(let file) = part.entry { file.link(true) }
        }
        unsyncedNames.append(NameChange(parts: parts))
    }

    /// Makes the changes in a directory durable, and those before them without which they could not have happened.
    func syncNames(of directory: MemoryDirectory) {
        if unsyncedNames.isEmpty { return }
        var needed: Set<NameChange.Slot> = []
        var isDurable = [Bool](repeating: false, count: unsyncedNames.count)
        for index in unsyncedNames.indices.reversed() {
            let change = unsyncedNames[index]
            guard change.touches(directory) || change.slots.contains(where: needed.contains) else { continue }
            isDurable[index] = true
            needed.formUnion(change.slots)
        }
        settleNames(isDurable)
    }

    /// Power loss: half of the time what survives is a prefix, as in a filesystem with a journal, else any changes that do not build on lost ones.
    func loseNames(random: SeededRandom?) {
        var isDurable = [Bool](repeating: false, count: unsyncedNames.count)
        if let random, !unsyncedNames.isEmpty {
            if random.below(2) == 0 {
                for index in 0..<random.below(unsyncedNames.count + 1) { isDurable[index] = true }
            } else {
                var lost: Set<NameChange.Slot> = []
                for (index, change) in unsyncedNames.enumerated() {
                    isDurable[index] = random.below(2) == 0 && !change.slots.contains(where: lost.contains)
                    if !isDurable[index] { lost.formUnion(change.slots) }
                }
            }
        }
        settleNames(isDurable)
        unsyncedNames.removeAll()
    }

    private func settleNames(_ isDurable: [Bool]) {
        var rest: [NameChange] = []
        for (index, change) in unsyncedNames.enumerated() {
            if isDurable[index] { change.applyDurably() } else { rest.append(change) }
        }
        unsyncedNames = rest
    }

    private func locate(_ path: String) throws(DiskError) -> (MemoryDirectory, String) {
        var names = Self.components(path)
        guard let last = names.popLast() else { throw DiskError(.failed, errno: 21, "\(path): is the root") }
        return (try directory("/" + names.joined(separator: "/")), last)
    }

    private static func components(_ path: String) -> [String] { path.split(separator: "/").map(String.init) }
}
