import Model
import Namespace

/// When directories within a directory that are read one after the other are worth listing before they are asked for: whoever walks through a tree then finds
/// the next ones here, and the leader lists them while what came before is looked at.
struct ListingReadAhead {
    /// Directories that are listed ahead of the one that is read.
    private static let directories = 8
    private static let patienceMin = 2
    private static let patienceMax = 4096

    /// The directory read last.
    private(set) var read: (name: Name, inode: InodeID)?
    /// Directories read one after the other, in order, whose listing was not known.
    private var misses = 0
    /// So many of them lead to a reading ahead: four times as many after one that hardly served.
    private var patience = patienceMin
    /// The directories behind the one that is read, in order; the first `asked` of them were asked for.
    private var queue: ArraySlice<InodeID> = []
    private var asked = 0
    /// Of the last reading ahead: how many were asked for, and how many of them were read.
    private var total = 0
    private var served = 0

    /// Whether those who read directories in here go on to those within them: then the first of these are worth asking for too.
    var descends = false

    /// What the directories in here are listed with. Whoever walks through a tree for its names pays four times as much if the files' attributes come too.
    private(set) var detail = ListDetail.attributes
    /// Probes in a row that were asked for, and that were not.
    private var used = 0
    private var unused = 0
    private var unusedPatience = 2
    private static let probes = 3

    /// Whether to show a file without attributes: if they are wanted, the kernel asks for them.
    var probes: Bool { read != nil && detail == .attributes && used < Self.probes }

    mutating func noteProbe(isUsed: Bool) {
        used = isUsed ? used + 1 : 0
        unused = isUsed ? 0 : unused + 1
        guard unused >= unusedPatience else { return }
        detail = .directories
        unused = 0
    }

    /// Attributes of files that were listed without are asked for.
    mutating func noteWanted() {
        detail = .attributes
        used = 0
        unused = 0
        unusedPatience = min(unusedPatience * 4, Self.patienceMax)
    }

    /// Takes over what is known of those who go through the directory before this one.
    mutating func learn(from last: ListingReadAhead) {
        descends = last.descends
        detail = last.detail
        used = last.used
        unused = last.unused
        unusedPatience = last.unusedPatience
    }

    /// Whether what is asked for ahead is wanted; nil if nothing was.
    var serves: Bool? { total == 0 ? nil : served > 0 }

    /// Notes that a directory is read.
    /// - Returns: whether to begin to read ahead behind it; then `begin` must follow.
    mutating func noteRead(_ name: Name, _ inode: InodeID, isKnown: Bool) -> Bool {
        let isInOrder = read.map { $0.name < name } ?? true
        read = (name, inode)
        if let place = queue.firstIndex(of: inode) {
            let passed = place - queue.startIndex + 1
            if passed <= asked { served += 1 }
            asked = max(asked - passed, 0)
            queue = queue[(place + 1)...]
            return false
        }
        guard !isKnown else { return false }
        misses = isInOrder ? misses + 1 : 1
        guard misses >= patience else { return false }
        if let serves { patience = serves ? Self.patienceMin : min(patience * 4, Self.patienceMax) }
        return true
    }

    mutating func begin(_ directories: [InodeID]) {
        queue = directories[...]
        asked = 0
        misses = 0
        total = 0
        served = 0
    }

    /// The directories to ask for now.
    mutating func next() -> ArraySlice<InodeID> {
        // One at a time would be one question for each, where several can travel together.
        guard asked * 2 <= Self.directories else { return [] }
        let next = queue.dropFirst(asked).prefix(Self.directories - asked)
        asked += next.count
        total += next.count
        return next
    }
}
