import Model
import Namespace

/// Numbers that the leader has set aside for inodes of this session.
struct InodeNumbers {
    /// With fewer left, more are asked for.
    private static let scarce: UInt64 = 1024

    private var ranges: [Range<UInt64>] = []
    private(set) var left: UInt64 = 0
    /// More are on their way.
    var isAsking = false
    /// The sessions before this one; numbers of an earlier one count for nothing.
    private(set) var session: UInt64 = 0

    var isScarce: Bool { left < Self.scarce }

    /// The next number, in ascending order; nil: there is none.
    mutating func next() -> InodeID? {
        guard let range = ranges.first else { return nil }
        left -= 1
        if range.count == 1 { ranges.removeFirst() } else { ranges[0] = range.lowerBound + 1..<range.upperBound }
        return InodeID(rawValue: range.lowerBound)
    }

    mutating func add(_ range: Range<UInt64>) {
        ranges.append(range)
        left += UInt64(range.count)
    }

    mutating func sessionLost() {
        ranges = []
        left = 0
        isAsking = false
        session += 1
    }
}
