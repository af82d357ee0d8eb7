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

    init(isComplete: Bool) { self.isComplete = isComplete }

    var count: Int { names.count }

    /// Whether it is known that there is no entry.
    var isEmpty: Bool { isComplete && names.values.allSatisfy { $0 == .absent } }

    /// nil: not known.
    func entry(_ name: Name) -> Entry? { names[name] ?? (isComplete ? .absent : nil) }

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

    /// The name may be anything from now on.
    mutating func forget(_ name: Name) {
        names[name] = nil
        isComplete = false
    }
}
