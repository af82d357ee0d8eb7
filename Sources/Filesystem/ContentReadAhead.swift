import Model
import Namespace

/// When files of a directory that are opened one after the other are worth asking for the contents of the next ones: whoever reads through a tree pays one
/// question for many small files.
struct ContentReadAhead {
    /// Entries that one reading ahead asks for. The next one begins when half of them were opened.
    static let files = Limits.contentsPerAnswer
    /// Files behind the one that is opened whose blocks are wanted already.
    private static let blocksAhead = 8
    private static let patienceMin = 2
    private static let patienceMax = 4096

    /// The file opened last.
    private var opened: Name?
    /// Files opened one after the other, in the order of the listing, whose content was not known.
    private var misses = 0
    /// So many of them lead to a reading ahead: four times as many after one that hardly served.
    private var patience = patienceMin
    /// Files of the last reading ahead that were opened; nil: there was none.
    private var served: Int?
    /// The last entry that was asked for.
    private var last: Name?
    private var isAtEnd = false
    /// Files whose content came and that were not opened yet, in the order of the listing.
    private var upcoming: ArraySlice<InodeID> = []
    /// Happens when the reading ahead under way has ended.
    private(set) var underWay: AsyncEvent?

    /// Notes that a file was opened to be read.
    /// - Returns: the entry behind which to read ahead now, if any (then `begin` must follow); and files whose blocks to ask for.
    mutating func noteOpen(_ name: Name, _ inode: InodeID, isKnown: Bool) -> (after: Name?, next: ArraySlice<InodeID>) {
        let isInOrder = opened.map { $0 < name } ?? true
        opened = name
        if let place = upcoming.firstIndex(of: inode) {
            upcoming = upcoming[(place + 1)...]
            served? += 1
            let isDue = underWay == nil && !isAtEnd && upcoming.count * 2 < Self.files
            return (isDue ? last : nil, upcoming.prefix(Self.blocksAhead))
        }
        guard !isKnown else { return (nil, []) }
        if isInOrder {
            // It was asked for, but is too large to come so.
            if let last, name <= last { return (nil, []) }
            misses += 1
        } else {
            last = nil
            misses = 1
        }
        guard underWay == nil, misses >= patience else { return (nil, []) }
        if let served { patience = served * 8 >= Self.files ? Self.patienceMin : min(patience * 4, Self.patienceMax) }
        upcoming = []
        return (name, [])
    }

    mutating func begin(_ event: AsyncEvent) {
        underWay = event
        misses = 0
        served = 0
    }

    /// - Parameters:
    ///   - files: whose content is known now.
    ///   - last: the last entry, if the reading ahead did not fail.
    ///   - isAtEnd: none are behind it.
    mutating func end(_ files: [InodeID], last: Name?, isAtEnd: Bool) {
        underWay = nil
        self.last = last
        self.isAtEnd = isAtEnd || last == nil
        upcoming += files
    }
}
