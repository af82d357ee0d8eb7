import Runtime

/// A directory of a `MemoryDisk`: what is in it now, and what is on the medium.
@LoopActor
final class MemoryDirectory {
    enum Entry {
        case file(MemoryContent)
        case directory(MemoryDirectory)
    }

    var entries: [String: Entry] = [:]
    var durable: [String: Entry] = [:]

    /// In the order of names, so that a seed has one outcome.
    private var sortedEntries: [(key: String, value: Entry)] { entries.sorted { $0.key < $1.key } }

    /// All files below with their paths, in the order of names.
    func files(under path: String) -> [(path: String, content: MemoryContent)] {
        sortedEntries.flatMap { name, entry in
            switch entry {
            case .file(let file): [(path + "/" + name, file)]
            case .directory(let directory): directory.files(under: path + "/" + name)
            }
        }
    }

    /// The names are those on the medium.
    func forgetUnsynced() {
        entries = durable
        for case .directory(let directory) in entries.values { directory.forgetUnsynced() }
    }

    /// A tree with what is on the medium.
    func durableCopy(usage: MemoryUsage) -> MemoryDirectory {
        let copy = MemoryDirectory()
        for (name, entry) in durable {
            switch entry {
            case .file(let file): copy.entries[name] = .file(file.durableCopy(usage: usage))
            case .directory(let directory): copy.entries[name] = .directory(directory.durableCopy(usage: usage))
            }
        }
        copy.durable = copy.entries
        return copy
    }
}
