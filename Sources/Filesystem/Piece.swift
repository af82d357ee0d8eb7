import Digest
import Namespace

/// A run of a file's bytes in a layer of local changes.
struct Piece {
    enum Source {
        /// Zeros: a hole.
        case zero
        /// Bytes in memory, at `offset - block.start` in the block's buffer.
        case memory(DirtyBlock)
        /// Bytes of a stored block, from `blockOffset` on.
        case block(key: BlockKey, blockLength: UInt32, blockOffset: UInt32)
    }

    var offset: UInt64
    var length: UInt64
    var source: Source

    var end: UInt64 { offset + length }
    var range: Range<UInt64> { offset..<end }

    /// The part inside `range`, which must overlap the piece.
    func clamped(to range: Range<UInt64>) -> Piece {
        let lower = max(offset, range.lowerBound)
        let upper = min(end, range.upperBound)
        var part = Piece(offset: lower, length: upper - lower, source: source)
        if case .block(let key, let blockLength, let blockOffset) = source {
            part.source = .block(key: key, blockLength: blockLength, blockOffset: blockOffset + UInt32(lower - offset))
        }
        return part
    }

    /// Whether `next`, which begins where this ends, continues it.
    func joins(_ next: Piece) -> Bool {
        guard end == next.offset else { return false }
        switch (source, next.source) {
        case (.zero, .zero): return true
        case (.memory(let left), .memory(let right)): return left === right
        case (.block(let key, _, let from), .block(let nextKey, _, let nextFrom)):
            return key == nextKey && UInt64(from) + length == UInt64(nextFrom)
        default: return false
        }
    }
}
