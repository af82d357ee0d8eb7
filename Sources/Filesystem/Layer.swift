import Namespace

/// Changes of one file that are to be committed together: what it says goes over what lies below (an older layer, or the content the
/// leader has).
struct Layer {
    /// The shortest the file has been since the layer began: what lies below is gone from here on. `UInt64.max`: never cut.
    private(set) var cut = UInt64.max
    private(set) var pieces = PieceMap()
    /// The size the file has now; nil: the layer does not touch the content.
    private(set) var size: UInt64?
    var attributes = AttributeChange()
    /// Bytes written into the layer, roughly (overwritten ones count again): when to commit.
    var written = 0

    var isEmpty: Bool { size == nil && attributes == AttributeChange() }

    /// - Parameter size: the file's size before, if the layer has none yet.
    mutating func write(_ piece: Piece, over size: UInt64) {
        pieces.replace(piece)
        self.size = max(self.size ?? size, piece.end)
    }

    mutating func truncate(to size: UInt64) {
        // A longer file gets zeros where nothing lies below, so only a cut has to be remembered.
        cut = min(cut, size)
        pieces.removeAll(from: size)
        self.size = size
    }

    /// A file that only grows: what lies below ends at its size, so nothing is cut.
    mutating func extend(to size: UInt64, over old: UInt64) { self.size = max(self.size ?? old, size) }

    /// Puts a piece of the same bytes in another form in place.
    mutating func substitute(_ piece: Piece) { pieces.replace(piece) }

    /// Adds the changes of a newer layer.
    mutating func absorb(_ newer: Layer) {
        if newer.cut < .max {
            cut = min(cut, newer.cut)
            pieces.removeAll(from: newer.cut)
        }
        for piece in newer.pieces.pieces { pieces.replace(piece) }
        size = newer.size ?? size
        attributes.absorb(newer.attributes)
        written += newer.written
    }
}

extension AttributeChange {
    /// Values of `newer` replace those here.
    mutating func absorb(_ newer: AttributeChange) {
        mode = newer.mode ?? mode
        uid = newer.uid ?? uid
        gid = newer.gid ?? gid
        accessed = newer.accessed ?? accessed
        modified = newer.modified ?? modified
        changed = newer.changed ?? changed
    }

    /// `attributes` as they are after the change.
    func applied(to attributes: Attributes) -> Attributes {
        var result = attributes
        if let mode { result.mode = mode }
        if let uid { result.uid = uid }
        if let gid { result.gid = gid }
        if let accessed { result.accessed = accessed }
        if let modified { result.modified = modified }
        if let changed { result.changed = max(result.changed, changed) }
        return result
    }
}
