/// Sorted pieces that do not overlap.
struct PieceMap {
    private(set) var pieces: [Piece] = []

    var isEmpty: Bool { pieces.isEmpty }
    var count: Int { pieces.count }

    /// Index of the first piece that ends after `offset`; `count` if there is none.
    func firstIndex(endingAfter offset: UInt64) -> Int {
        var low = 0
        var high = pieces.count
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].end > offset { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// The piece that holds the byte at `offset`.
    func piece(at offset: UInt64) -> Piece? {
        let index = firstIndex(endingAfter: offset)
        guard index < pieces.count, pieces[index].offset <= offset else { return nil }
        return pieces[index]
    }

    /// Takes everything in `range` out.
    mutating func remove(_ range: Range<UInt64>) {
        guard !range.isEmpty else { return }
        let first = firstIndex(endingAfter: range.lowerBound)
        var last = first
        var rest: [Piece] = []
        while last < pieces.count, pieces[last].offset < range.upperBound {
            let piece = pieces[last]
            if piece.offset < range.lowerBound { rest.append(piece.clamped(to: piece.offset..<range.lowerBound)) }
            if piece.end > range.upperBound { rest.append(piece.clamped(to: range.upperBound..<piece.end)) }
            last += 1
        }
        pieces.replaceSubrange(first..<last, with: rest)
    }

    mutating func removeAll(from offset: UInt64) { remove(offset..<UInt64.max) }

    /// Puts `piece` in place of what was in its range and joins it to its neighbours.
    mutating func replace(_ piece: Piece) {
        guard piece.length > 0 else { return }
        // The common case of a sequential writer: nothing after it.
        if let last = pieces.last, last.end <= piece.offset {
            if last.joins(piece) {
                pieces[pieces.count - 1].length += piece.length
            } else {
                pieces.append(piece)
            }
            return
        }
        remove(piece.range)
        let index = firstIndex(endingAfter: piece.offset)
        pieces.insert(piece, at: index)
        if index + 1 < pieces.count, pieces[index].joins(pieces[index + 1]) {
            pieces[index].length += pieces[index + 1].length
            pieces.remove(at: index + 1)
        }
        if index > 0, pieces[index - 1].joins(pieces[index]) {
            pieces[index - 1].length += pieces[index].length
            pieces.remove(at: index)
        }
    }

    /// Visits `range` from left to right: pieces, cut to it, and the gaps between them (`nil`).
    func visit<Failure: Error>(_ range: Range<UInt64>, _ body: (Range<UInt64>, Piece?) throws(Failure) -> Void) throws(Failure) {
        var position = range.lowerBound
        var index = firstIndex(endingAfter: position)
        while position < range.upperBound {
            guard index < pieces.count, pieces[index].offset < range.upperBound else {
                try body(position..<range.upperBound, nil)
                return
            }
            let piece = pieces[index].clamped(to: range)
            if position < piece.offset { try body(position..<piece.offset, nil) }
            try body(piece.range, piece)
            position = piece.end
            index += 1
        }
    }
}
