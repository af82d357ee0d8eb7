/// What one owner has locked of one file: pieces in their order, without overlap, neighbours of one mode joined (fcntl(2), "Advisory record locking").
package struct LockPieces: Equatable, Sendable {
    package struct Piece: Equatable, Sendable {
        package var range: LockRange
        package var mode: LockMode

        package init(range: LockRange, mode: LockMode) {
            self.range = range
            self.mode = mode
        }
    }

    package private(set) var pieces: [Piece] = []

    package init() {}

    package var isEmpty: Bool { pieces.isEmpty }
    package var count: Int { pieces.count }

    /// The first piece that ends at `position` or behind it.
    private func index(endingAtOrAfter position: UInt64) -> Int {
        var low = 0
        var high = pieces.count
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].range.last < position { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Which pieces a change touches, neighbours included, and what comes in their place.
    private func plan(_ range: LockRange, _ mode: LockMode?) -> (window: Range<Int>, replacement: [Piece]) {
        // One before, since a neighbour may be joined.
        let lower = index(endingAtOrAfter: range.first > 0 ? range.first - 1 : 0)
        var upper = lower
        var before: [Piece] = []
        var after: [Piece] = []
        while upper < pieces.count, pieces[upper].range.first <= range.last || pieces[upper].range.first - 1 == range.last {
            let piece = pieces[upper]
            if let rest = piece.range.before(range) { before.append(Piece(range: rest, mode: piece.mode)) }
            if let rest = piece.range.after(range) { after.append(Piece(range: rest, mode: piece.mode)) }
            upper += 1
        }
        var result: [Piece] = []
        for piece in before + (mode.map { [Piece(range: range, mode: $0)] } ?? []) + after {
            if let last = result.last, last.mode == piece.mode, last.range.last + 1 == piece.range.first {
                result[result.count - 1].range = last.range.joined(piece.range)
            } else {
                result.append(piece)
            }
        }
        return (lower..<upper, result)
    }

    /// How many pieces more there would be.
    package func growth(_ range: LockRange, _ mode: LockMode?) -> Int {
        let (window, replacement) = plan(range, mode)
        return replacement.count - window.count
    }

    /// Gives a range another mode; nil: it is free.
    package mutating func set(_ range: LockRange, _ mode: LockMode?) {
        let (window, replacement) = plan(range, mode)
        pieces.replaceSubrange(window, with: replacement)
    }

    /// Gives up whatever setting the range to `mode` would give up, and gains nothing: for what is certain while it is not known yet whether the
    /// setting took place.
    package mutating func weaken(_ range: LockRange, to mode: LockMode?) {
        guard let mode else { return set(range, nil) }
        guard mode == .shared else { return }
        for piece in overlapping(range) where piece.mode == .exclusive { set(piece.range, .shared) }
    }

    /// The parts of a range that are locked.
    package func overlapping(_ range: LockRange) -> [Piece] {
        var result: [Piece] = []
        for piece in pieces[index(endingAtOrAfter: range.first)...] {
            guard let part = piece.range.intersection(range) else { break }
            result.append(Piece(range: part, mode: piece.mode))
        }
        return result
    }

    /// The first piece with which a lock of another owner would conflict.
    package func conflict(_ range: LockRange, _ mode: LockMode) -> Piece? {
        for piece in pieces[index(endingAtOrAfter: range.first)...] {
            guard piece.range.overlaps(range) else { return nil }
            if piece.mode.conflicts(with: mode) { return piece }
        }
        return nil
    }
}
