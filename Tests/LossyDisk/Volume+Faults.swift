import Glibc

// What a test can do to the disk.
extension Volume {
    /// Power loss. Whatever was synced stays; the rest is dropped, kept or torn as the seed says, or dropped without a seed.
    func losePower(seed: UInt64?) {
        statistics.powerLosses += 1
        var random = Seeded(seed ?? 0)
        let taken = seed == nil ? [] : keptNames(&random)
        for change in taken { apply(change) }
        statistics.keptNames += taken.count
        statistics.droppedNames += changes.count - taken.count
        changes = []
        for number in nodes.keys.sorted() {
            guard let node = nodes[number], node.kind == .file else { continue }
            if seed == nil {
                statistics.droppedPages += node.content.revert()
            } else {
                let count = node.content.lose(&random)
                statistics.droppedPages += count.dropped
                statistics.keptPages += count.kept
                statistics.tornPages += count.torn
            }
        }
        restart()
    }

    /// The changes of names that reached the disk: those up to some point in time, or any of them. Which disk and filesystem does the one and which the
    /// other is not ours to know.
    private func keptNames(_ random: inout Seeded) -> [NameChange] {
        let isPrefix = random.chance(1, of: 2) || ordersNames
        let share = random.next() % 5
        let end = Int(random.next() % UInt64(changes.count + 1))
        let isKept = changes.indices.map { index in random.chance(share, of: 4) && !isPrefix || isPrefix && index < end }
        return Self.split(changes) { index, _ in isKept[index] }.taken
    }

    /// What is on the disk becomes what users see.
    private func restart() {
        epoch += 1
        for node in nodes.values {
            node.entries = [:]
            node.links = 0
            node.durableLinks = 0
            node.opened = 0
            node.waitingChanges = 0
        }
        var reached: Set<UInt64> = [Self.root]
        var waiting = [Self.root]
        nodes[Self.root]?.links = 1
        while let number = waiting.popLast() {
            guard let directory = nodes[number] else { continue }
            for (name, target) in directory.durableEntries {
                guard let node = nodes[target] else {
                    directory.durableEntries[name] = nil
                    continue
                }
                // A directory has one name; which one, if two were left, does not matter.
                if node.kind == .directory, reached.contains(target) {
                    directory.durableEntries[name] = nil
                    continue
                }
                node.links += 1
                if node.kind == .directory { node.parent = number }
                if reached.insert(target).inserted, node.kind == .directory { waiting.append(target) }
            }
            directory.entries = directory.durableEntries
        }
        used = 0
        for (number, node) in nodes {
            guard reached.contains(number) else {
                nodes[number] = nil
                continue
            }
            node.durableLinks = node.links
            node.takesRoom = true
            used += node.content.used
        }
    }

    /// Flips bits in files below a path, on the disk and for its readers. Returns what was flipped: path and byte.
    func rot(seed: UInt64, count: Int, below prefix: String) -> [String] {
        var random = Seeded(seed)
        var files: [(path: String, node: Node)] = []
        collect(Self.root, "", prefix, &files)
        files.sort { $0.path < $1.path }
        let sizes = files.map { file in file.node.content.pages.prefix((file.node.content.size + Page.size - 1) / Page.size).reduce(0) { $0 + ($1 == nil ? 0 : 1) } }
        let total = sizes.reduce(0, +)
        guard total > 0 else { return [] }
        var flipped: [String] = []
        for _ in 0..<count {
            var left = Int(random.next() % UInt64(total))
            var index = 0
            while left >= sizes[index] {
                left -= sizes[index]
                index += 1
            }
            let file = files[index]
            let pages = file.node.content.pages.indices.filter { file.node.content.pages[$0] != nil }
            let byte = pages[left] * Page.size + Int(random.next() % UInt64(Page.size))
            file.node.content.flip(bit: byte * 8 + Int(random.next() % 8))
            statistics.flippedBits += 1
            flipped.append("\(file.path)@\(byte)")
        }
        return flipped
    }

    private func collect(_ number: UInt64, _ path: String, _ prefix: String, _ files: inout [(path: String, node: Node)]) {
        guard let directory = nodes[number] else { return }
        for (name, target) in directory.entries {
            guard let node = nodes[target] else { continue }
            let full = path.isEmpty ? name : "\(path)/\(name)"
            if node.kind == .directory { collect(target, full, prefix, &files) }
            if node.kind == .file, full.hasPrefix(prefix) { files.append((full, node)) }
        }
    }
}
