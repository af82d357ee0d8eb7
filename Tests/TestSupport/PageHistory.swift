/// What a page of a file was since the last sync of it: each of these states may be the one on the medium.
struct PageHistory {
    typealias Page = [UInt8]

    struct Version {
        /// No bytes stand for a hole.
        var page: Page
        var mark: Mark
    }

    struct Mark {
        /// Number of the change that made the page so.
        var change: Int
        /// How often the file had been cut by then.
        var cuts: Int
        /// Made by cutting the file: nothing from before can be seen once that cut is.
        var isCut: Bool
    }

    /// Versions beyond this are forgotten, so that a file that is never synced does not keep everything it ever was.
    private static let pastMax = 8

    /// Versions before the present one; the first is that on the medium.
    private(set) var past: [Version]
    /// Of the present version, which lies in the file.
    var present: Mark

    init(durable: Page, present: Mark) {
        past = [Version(page: durable, mark: Mark(change: 0, cuts: 0, isCut: false))]
        self.present = present
    }

    var durable: Page { past[0].page }

    /// The present version becomes a past one.
    mutating func replace(_ page: Page, with mark: Mark) {
        past.append(Version(page: page, mark: present))
        present = mark
        if past.count > Self.pastMax, !past[1].mark.isCut { past.remove(at: 1) }
    }

    /// Everything up to a change reached the medium. False if nothing is left to be synced.
    mutating func sync(upTo change: Int) -> Bool {
        if present.change <= change { return false }
        if let last = past.lastIndex(where: { $0.mark.change <= change }) { past.removeFirst(last) }
        return true
    }

    /// The versions that may be found after a crash that left the file cut so often.
    func survivors(page: Page, cuts: Int) -> [Page] {
        let all = (past + [Version(page: page, mark: present)]).prefix { $0.mark.cuts <= cuts }
        let first = all.lastIndex { $0.mark.isCut } ?? 0
        return all[first...].map(\.page)
    }
}
