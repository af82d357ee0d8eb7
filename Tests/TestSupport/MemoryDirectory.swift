import Runtime

/// A directory of a `MemoryDisk`: what is in it now, and what a crash leaves in it.
@LoopActor
final class MemoryDirectory {
    enum Entry {
        case file(MemoryContent)
        case directory(MemoryDirectory)
    }

    var entries: [String: Entry] = [:]
    var durable: [String: Entry] = [:]

    /// Bytes of all files below.
    var size: Int {
        entries.values.reduce(0) { sum, entry in
            switch entry {
            case .file(let file): sum + file.bytes.count
            case .directory(let directory): sum + directory.size
            }
        }
    }

    func files(under path: String) -> [String] {
        entries.flatMap { name, entry in
            switch entry {
            case .file: [path + "/" + name]
            case .directory(let directory): directory.files(under: path + "/" + name)
            }
        }
    }

    func crash(random: SeededRandom?) {
        entries = durable
        // In the order of names, so that a seed has one outcome.
        for (_, entry) in entries.sorted(by: { $0.key < $1.key }) {
            switch entry {
            case .file(let file): file.crash(random: random)
            case .directory(let directory): directory.crash(random: random)
            }
        }
    }
}

/// The content of a file of a `MemoryDisk`.
@LoopActor
final class MemoryContent {
    enum Change {
        case write(offset: Int, bytes: [UInt8])
        case resize(Int)
    }

    var bytes: [UInt8] = []
    var durable: [UInt8] = []
    /// Changes since the last sync, in order.
    var pending: [Change] = []

    func change(_ change: Change) {
        Self.apply(change, to: &bytes)
        pending.append(change)
    }

    func sync() {
        for change in pending { Self.apply(change, to: &durable) }
        pending.removeAll()
    }

    func crash(random: SeededRandom?) {
        if let random {
            for change in pending where random.below(2) == 0 {
                if case .write(let offset, let bytes) = change, random.below(4) == 0 {
                    Self.apply(.write(offset: offset, bytes: Array(bytes.prefix(random.below(bytes.count)))), to: &durable)
                } else {
                    Self.apply(change, to: &durable)
                }
            }
        }
        pending.removeAll()
        bytes = durable
    }

    private static func apply(_ change: Change, to target: inout [UInt8]) {
        switch change {
        case .write(let offset, let bytes):
            let end = offset + bytes.count
            if end > target.count { target += [UInt8](repeating: 0, count: end - target.count) }
            target.withUnsafeMutableBytes { all in
                bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: all[offset..<end]).copyMemory(from: $0) }
            }
        case .resize(let length):
            if length < target.count {
                target.removeLast(target.count - length)
            } else {
                target += [UInt8](repeating: 0, count: length - target.count)
            }
        }
    }
}
