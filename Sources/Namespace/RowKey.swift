package import Digest
package import Model

/// Keys of rows.
package enum RowKey {
    package static let state = Table.state.prefix

    package static func inode(_ inode: InodeID) -> [UInt8] { key(.inode, inode.rawValue) }
    package static func inline(_ inode: InodeID) -> [UInt8] { key(.inline, inode.rawValue) }
    package static func symlink(_ inode: InodeID) -> [UInt8] { key(.symlink, inode.rawValue) }
    package static func orphan(_ inode: InodeID) -> [UInt8] { key(.orphan, inode.rawValue) }
    package static func location(_ inode: InodeID) -> [UInt8] { key(.location, inode.rawValue) }
    package static func session(_ session: SessionID) -> [UInt8] { key(.session, session.rawValue) }

    package static func entry(_ parent: InodeID, _ name: [UInt8]) -> [UInt8] { key(.entry, parent.rawValue, name) }
    package static func xattr(_ inode: InodeID, _ name: [UInt8]) -> [UInt8] { key(.xattr, inode.rawValue, name) }
    package static func record(_ name: String) -> [UInt8] { Table.record.prefix + Array(name.utf8) }

    package static func extents(_ inode: InodeID, region: UInt32) -> [UInt8] {
        var key = key(.extents, inode.rawValue)
        key.appendBigEndian(region)
        return key
    }

    package static func outcome(_ session: SessionID, _ sequence: UInt64) -> [UInt8] {
        var key = key(.outcome, session.rawValue)
        key.appendBigEndian(sequence)
        return key
    }

    package static func reference(_ block: BlockKey) -> [UInt8] { key(.reference, block) }
    package static func collecting(_ block: BlockKey) -> [UInt8] { key(.collecting, block) }
    package static func queue(_ due: Timestamp, _ block: BlockKey) -> [UInt8] { key(.queue, due, block) }
    package static func tombstone(_ expiry: Timestamp, _ block: BlockKey) -> [UInt8] { key(.tombstone, expiry, block) }

    /// The first key behind all rows of `table` whose first field is `identifier`.
    static func end(_ table: Table, _ identifier: UInt64) -> [UInt8] {
        identifier == .max ? table.end : key(table, identifier + 1)
    }

    /// The first key behind all keys that begin with `prefix`; nil: there is none.
    static func end(ofPrefix prefix: [UInt8]) -> [UInt8]? {
        var end = prefix
        while let last = end.popLast() {
            if last < .max {
                end.append(last + 1)
                return end
            }
        }
        return nil
    }

    /// The key of `table` with times below or at `time`, to scan up to.
    static func end(_ table: Table, upTo time: Timestamp) -> [UInt8] {
        time == .max ? table.end : key(table, sortable(time + 1))
    }

    static func key(_ table: Table, _ identifier: UInt64, _ name: [UInt8] = []) -> [UInt8] {
        var key: [UInt8] = []
        key.reserveCapacity(13 + name.count)
        key.append(table.rawValue)
        key.appendBigEndian(identifier)
        key.append(contentsOf: name)
        return key
    }

    private static func key(_ table: Table, _ block: BlockKey) -> [UInt8] {
        var key: [UInt8] = []
        key.reserveCapacity(33)
        key.append(table.rawValue)
        key.append(block)
        return key
    }

    private static func key(_ table: Table, _ time: Timestamp, _ block: BlockKey) -> [UInt8] {
        var key: [UInt8] = []
        key.reserveCapacity(41)
        key.append(table.rawValue)
        key.appendBigEndian(sortable(time))
        key.append(block)
        return key
    }

    /// Orders as unsigned as the time does as signed.
    private static func sortable(_ time: Timestamp) -> UInt64 { UInt64(bitPattern: time) ^ (1 << 63) }
}

extension [UInt8] {
    fileprivate mutating func appendBigEndian(_ value: some FixedWidthInteger & UnsignedInteger) {
        var shift = value.bitWidth
        while shift > 0 {
            shift -= 8
            append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    fileprivate mutating func append(_ block: BlockKey) {
        appendBigEndian(block.words.0)
        appendBigEndian(block.words.1)
        appendBigEndian(block.words.2)
        appendBigEndian(block.words.3)
    }
}
