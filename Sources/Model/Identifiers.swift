package import Bytes

/// A daemon, for life: drawn at random when its data directory is made. Never 0.
package struct NodeID: RawRepresentable, Hashable, Comparable, Sendable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: NodeID, right: NodeID) -> Bool { left.rawValue < right.rawValue }
}

/// A cluster: drawn at random by `dhtfs init`.
package struct ClusterID: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// An inode. The top 16 bits are a partition of the namespace, 0 so far. 1 is the root directory; 0 names none.
package struct InodeID: RawRepresentable, Hashable, Comparable, Sendable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package static let root = InodeID(rawValue: 1)
    package static func < (left: InodeID, right: InodeID) -> Bool { left.rawValue < right.rawValue }
}

/// A session of a mount or another client with the metadata service. Never 0; never used twice.
package struct SessionID: RawRepresentable, Hashable, Comparable, Sendable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: SessionID, right: SessionID) -> Bool { left.rawValue < right.rawValue }
}

extension NodeID: CustomStringConvertible { package var description: String { hexadecimal(rawValue) } }
extension ClusterID: CustomStringConvertible { package var description: String { hexadecimal(rawValue) } }
extension InodeID: CustomStringConvertible { package var description: String { String(rawValue) } }
extension SessionID: CustomStringConvertible { package var description: String { hexadecimal(rawValue) } }

/// 16 lower-case hexadecimal digits.
private func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}

extension NodeID {
    /// Parses what `description` prints.
    package init?(hexadecimal text: String) {
        guard let value = UInt64(hexadecimalDigits: text) else { return nil }
        self.init(rawValue: value)
    }
}

extension ClusterID {
    /// Parses what `description` prints.
    package init?(hexadecimal text: String) {
        guard let value = UInt64(hexadecimalDigits: text) else { return nil }
        self.init(rawValue: value)
    }
}

/// Identifiers are one little-endian 64-bit integer everywhere.
package protocol ByteCodableIdentifier: ByteCodable, RawRepresentable where RawValue == UInt64 {
    init(rawValue: UInt64)
}

extension ByteCodableIdentifier {
    package init(from reader: inout ByteReader) throws(DecodeError) { self.init(rawValue: try reader.integer()) }
    package func encode(to writer: inout ByteWriter) { writer.integer(rawValue) }
}

extension NodeID: ByteCodableIdentifier {}
extension ClusterID: ByteCodableIdentifier {}
extension InodeID: ByteCodableIdentifier {}
extension SessionID: ByteCodableIdentifier {}
