import Model
import Namespace

/// Names of a directory as known under its lease.
struct DirectoryCache {
    enum Entry: Equatable {
        case present(InodeID, FileKind)
        case absent
    }

    private(set) var names: [Name: Entry] = [:]
    /// Whether every name that is not listed is absent.
    var isComplete: Bool

    var readAhead = NameReadAhead()
    var contents = ContentReadAhead()
    /// Of the directories in here.
    var listings = ListingReadAhead()
    /// Read ahead, in order, and not wanted yet: they count while nothing changes in the directory.
    var pagesAhead: [DirectoryHandle.Page] = []

    /// What was shown without attributes to whoever walks through the tree: `name`, or all files; and whether somebody has asked for them since.
    var probe: (name: Name?, isUsed: Bool)?

    init(isComplete: Bool) { self.isComplete = isComplete }

    /// Names held.
    var count: Int { names.count + namesAhead }
    var namesAhead: Int { pagesAhead.reduce(0) { $0 + $1.entries.count } }

    /// Whether it is known that there is no entry.
    var isEmpty: Bool { isComplete && names.values.allSatisfy { $0 == .absent } }

    /// nil: not known.
    func entry(_ name: Name) -> Entry? { names[name] ?? (isComplete ? .absent : nil) }

    /// The directories behind a name (nil: all) in their order.
    func directories(after name: Name?) -> [InodeID] {
        let found = names.compactMap { entry -> (Name, InodeID)? in
            guard case .present(let id, .directory) = entry.value, name.map({ $0 < entry.key }) ?? true else { return nil }
            return (entry.key, id)
        }
        return found.sorted { $0.0 < $1.0 }.map(\.1)
    }

    /// Makes room for more names at once.
    mutating func reserve(_ more: Int) {
        // Twice as much at least, so that many small pages do not copy what is there each time.
        if names.count + more > names.capacity { names.reserveCapacity(max(names.count + more, 2 * names.capacity)) }
    }

    mutating func set(_ name: Name, _ entry: Entry) {
        if entry == .absent, isComplete {
            names[name] = nil
        } else {
            names[name] = entry
        }
    }

    /// Other names may be anything from now on.
    mutating func keep(_ kept: [Name]) {
        var left: [Name: Entry] = [:]
        for name in kept { left[name] = names[name] }
        names = left
        isComplete = false
        pagesAhead = []
        probe = nil
    }

    /// The name may be anything from now on.
    mutating func forget(_ name: Name) {
        names[name] = nil
        isComplete = false
    }
}
