package import Bytes
import Model

/// The row of a session. Outcomes of its commands from `acknowledgedBelow` on have rows of their own.
package struct SessionRecord: Equatable, Sendable, ByteCodable {
    /// First byte of the row; 1: without reserved numbers.
    private static let layout: UInt8 = 2

    package var name: String
    /// Commands below this will not be repeated; their outcomes are gone.
    package var acknowledgedBelow: UInt64
    /// The highest sequence applied.
    package var highest: UInt64
    /// Numbers for inodes that this session may still make, ascending.
    package private(set) var reserved: [Range<UInt64>] = []

    init(name: String) {
        self.name = name
        acknowledgedBelow = 1
        highest = 0
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        let layout = try reader.integer(UInt8.self)
        guard layout == 1 || layout == Self.layout else { throw .invalid("layout of a session row") }
        name = try reader.string(max: Limits.sessionNameBytes)
        acknowledgedBelow = try reader.integer()
        highest = try reader.integer()
        // Each outcome from the one to the other is visited when the session ends.
        guard highest < .max, highest < acknowledgedBelow || highest - acknowledgedBelow < Limits.sequenceWindow else {
            throw .invalid("sequence of a session")
        }
        guard layout > 1 else { return }
        let count = try reader.integer(UInt8.self)
        guard Int(count) <= Limits.reservationsPerSession else { throw .invalid("reserved numbers") }
        for _ in 0..<count {
            let first = try reader.counter()
            let end = try reader.counter()
            guard first < end, first >= reserved.last?.upperBound ?? 0 else { throw .invalid("reserved numbers") }
            reserved.append(first..<end)
        }
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(Self.layout)
        writer.string(name)
        writer.integer(acknowledgedBelow)
        writer.integer(highest)
        writer.integer(UInt8(reserved.count))
        for numbers in reserved {
            writer.integer(numbers.lowerBound)
            writer.integer(numbers.upperBound)
        }
    }

    mutating func reserve(_ numbers: Range<UInt64>) {
        if reserved.count == Limits.reservationsPerSession { reserved.removeFirst() }
        reserved.append(numbers)
    }

    /// Takes a number out, and all below it, so that no number comes twice.
    /// - Returns: false if it was not reserved.
    mutating func use(_ inode: InodeID) -> Bool {
        guard let index = reserved.firstIndex(where: { $0.contains(inode.rawValue) }) else { return false }
        let end = reserved[index].upperBound
        reserved.removeSubrange(...index)
        if inode.rawValue + 1 < end { reserved.insert(inode.rawValue + 1..<end, at: 0) }
        return true
    }
}
