package import Bytes
import Digest

extension Outcome: ByteCodable {
    /// No command changes more directories than this.
    private static let parentsMax = 2

    package init(from reader: inout ByteReader) throws(DecodeError) {
        switch try reader.integer(UInt8.self) {
        case 0: self = .done(attributes: try reader.optionalValue(), parents: try reader.values(max: Self.parentsMax))
        case 1:
            self = .removed(
                attributes: try Attributes(from: &reader), orphaned: try reader.boolean(), parents: try reader.values(max: Self.parentsMax))
        case 2:
            self = .renamed(
                moved: try Attributes(from: &reader), other: try reader.optionalValue(), orphaned: try reader.boolean(),
                parents: try reader.values(max: Self.parentsMax))
        case 3: self = .recordSet(version: try reader.integer())
        case 4: self = .failed(try NamespaceError(from: &reader))
        case 5:
            let first = try reader.counter()
            let end = try reader.counter()
            guard first < end else { throw .invalid("reserved numbers") }
            self = .reserved(first..<end)
        default: throw .invalid("outcome")
        }
    }

    package func encode(to writer: inout ByteWriter) {
        switch self {
        case .done(let attributes, let parents):
            writer.integer(0 as UInt8)
            writer.optionalValue(attributes)
            writer.values(parents)
        case .removed(let attributes, let orphaned, let parents):
            writer.integer(1 as UInt8)
            attributes.encode(to: &writer)
            writer.boolean(orphaned)
            writer.values(parents)
        case .renamed(let moved, let other, let orphaned, let parents):
            writer.integer(2 as UInt8)
            moved.encode(to: &writer)
            writer.optionalValue(other)
            writer.boolean(orphaned)
            writer.values(parents)
        case .recordSet(let version):
            writer.integer(3 as UInt8)
            writer.integer(version)
        case .failed(let error):
            writer.integer(4 as UInt8)
            error.encode(to: &writer)
        case .reserved(let numbers):
            writer.integer(5 as UInt8)
            writer.integer(numbers.lowerBound)
            writer.integer(numbers.upperBound)
        }
    }
}

extension NamespaceError: ByteCodable {
    /// The cases that carry nothing; the place is the byte. Never reordered.
    private static let plain: [NamespaceError] = [
        .notFound, .exists, .notDirectory, .isDirectory, .notEmpty, .loop, .tooManyLinks, .nameTooLong, .fileTooLarge, .invalid,
        .noAttribute, .attributeTooLarge, .noSpaceForAttribute, .notPermitted, .stale, .noSession, .inlineContent,
    ]
    private static let collectedTag: UInt8 = 128
    private static let conflictTag: UInt8 = 129

    package init(from reader: inout ByteReader) throws(DecodeError) {
        let tag = try reader.integer(UInt8.self)
        switch tag {
        case Self.collectedTag: self = .collected(try reader.blockKeys(max: Limits.keysPerCommand))
        case Self.conflictTag: self = .conflict(try reader.integer())
        default:
            guard Int(tag) < Self.plain.count else { throw .invalid("namespace error") }
            self = Self.plain[Int(tag)]
        }
    }

    package func encode(to writer: inout ByteWriter) {
        switch self {
        case .collected(let keys):
            writer.integer(Self.collectedTag)
            writer.values(keys)
        case .conflict(let version):
            writer.integer(Self.conflictTag)
            writer.integer(version)
        default:
            guard let place = Self.plain.firstIndex(of: self) else { preconditionFailure("every plain case is in the list") }
            writer.integer(UInt8(place))
        }
    }
}
