package import Bytes
import Digest
import Model

extension ByteReader {
    /// Takes a byte that is the raw value of an enumeration.
    mutating func choice<Value: RawRepresentable>(_ type: Value.Type = Value.self) throws(DecodeError) -> Value
    where Value.RawValue == UInt8 {
        guard let value = Value(rawValue: try integer(UInt8.self)) else { throw .invalid("\(Value.self)") }
        return value
    }

    /// Takes a count or a sum. One above `Limits.counter` is a lie; what is below stands adding to.
    mutating func counter() throws(DecodeError) -> UInt64 {
        let value: UInt64 = try integer()
        guard value <= Limits.counter else { throw .invalid("count") }
        return value
    }

    /// Takes a count of rows of one inode, with the same bound for its width.
    mutating func smallCounter() throws(DecodeError) -> UInt32 {
        let value: UInt32 = try integer()
        guard value <= Limits.smallCounter else { throw .invalid("count") }
        return value
    }

    /// Takes an optional integer.
    mutating func optionalInteger<Value: FixedWidthInteger>(_ type: Value.Type = Value.self) throws(DecodeError) -> Value? {
        try boolean() ? try integer(Value.self) : nil
    }

    /// Takes a count and that many keys.
    mutating func blockKeys(max: Int) throws(DecodeError) -> [BlockKey] {
        try array(max: max) { (reader: inout ByteReader) throws(DecodeError) in try BlockKey(from: &reader) }
    }

    /// Takes a count and that many decodable values.
    mutating func values<Value: ByteCodable>(_ type: Value.Type = Value.self, max: Int) throws(DecodeError) -> [Value] {
        try array(max: max) { (reader: inout ByteReader) throws(DecodeError) in try Value(from: &reader) }
    }

    /// Takes a presence byte and the value, if any.
    mutating func optionalValue<Value: ByteCodable>(_ type: Value.Type = Value.self) throws(DecodeError) -> Value? {
        try boolean() ? try Value(from: &self) : nil
    }
}

extension ByteWriter {
    mutating func optionalInteger<Value: FixedWidthInteger>(_ value: Value?) {
        optional(value) { writer, value in writer.integer(value) }
    }

    mutating func values<Value: ByteCodable>(_ values: [Value]) {
        array(values) { writer, value in value.encode(to: &writer) }
    }

    mutating func optionalValue<Value: ByteCodable>(_ value: Value?) {
        optional(value) { writer, value in value.encode(to: &writer) }
    }
}

extension Attributes: ByteCodable {
    package init(from reader: inout ByteReader) throws(DecodeError) {
        inode = try InodeID(from: &reader)
        kind = try reader.choice()
        mode = try reader.integer()
        guard mode <= 0o7777 else { throw .invalid("mode") }
        uid = try reader.integer()
        gid = try reader.integer()
        links = try reader.integer()
        size = try reader.integer()
        guard size <= Limits.fileBytes else { throw .invalid("size") }
        allocated = try reader.counter()
        device = try reader.integer()
        accessed = try reader.integer()
        modified = try reader.integer()
        changed = try reader.integer()
        created = try reader.integer()
        xattrs = try reader.smallCounter()
        version = try reader.integer()
        entries = try reader.counter()
        parent = try InodeID(from: &reader)
    }

    package func encode(to writer: inout ByteWriter) {
        inode.encode(to: &writer)
        writer.integer(kind.rawValue)
        writer.integer(mode)
        writer.integer(uid)
        writer.integer(gid)
        writer.integer(links)
        writer.integer(size)
        writer.integer(allocated)
        writer.integer(device)
        writer.integer(accessed)
        writer.integer(modified)
        writer.integer(changed)
        writer.integer(created)
        writer.integer(xattrs)
        writer.integer(version)
        writer.integer(entries)
        parent.encode(to: &writer)
    }
}

extension Extent: ByteCodable {
    package init(from reader: inout ByteReader) throws(DecodeError) {
        offset = try reader.integer()
        length = try reader.integer()
        key = try BlockKey(from: &reader)
        blockLength = try reader.integer()
        blockOffset = try reader.integer()
        // `end` adds these two; whatever is decoded must not make it overflow.
        guard offset <= UInt64.max - UInt64(length) else { throw .invalid("extent") }
    }

    package func encode(to writer: inout ByteWriter) {
        writer.integer(offset)
        writer.integer(length)
        key.encode(to: &writer)
        writer.integer(blockLength)
        writer.integer(blockOffset)
    }
}

extension Content: ByteCodable {
    package init(from reader: inout ByteReader) throws(DecodeError) {
        switch try reader.integer(UInt8.self) {
        case 0: self = .inline(try reader.bytes(max: Limits.inlineBytes))
        case 1: self = .extents(try reader.values(max: Limits.extentsPerAnswer))
        default: throw .invalid("content")
        }
    }

    package func encode(to writer: inout ByteWriter) {
        switch self {
        case .inline(let bytes):
            writer.integer(0 as UInt8)
            writer.bytes(bytes)
        case .extents(let extents):
            writer.integer(1 as UInt8)
            writer.values(extents)
        }
    }
}

extension AttributeChange: ByteCodable {
    package init(from reader: inout ByteReader) throws(DecodeError) {
        mode = try reader.optionalInteger()
        uid = try reader.optionalInteger()
        gid = try reader.optionalInteger()
        accessed = try reader.optionalInteger()
        modified = try reader.optionalInteger()
        changed = try reader.optionalInteger()
    }

    package func encode(to writer: inout ByteWriter) {
        writer.optionalInteger(mode)
        writer.optionalInteger(uid)
        writer.optionalInteger(gid)
        writer.optionalInteger(accessed)
        writer.optionalInteger(modified)
        writer.optionalInteger(changed)
    }
}

extension Edit: ByteCodable {
    package init(from reader: inout ByteReader) throws(DecodeError) {
        switch try reader.integer(UInt8.self) {
        case 0: self = .truncate(try reader.integer())
        case 1: self = .inline(try reader.bytes(max: Limits.inlineBytes))
        case 2: self = .extent(try Extent(from: &reader))
        case 3: self = .hole(offset: try reader.integer(), length: try reader.integer())
        default: throw .invalid("edit")
        }
    }

    package func encode(to writer: inout ByteWriter) {
        switch self {
        case .truncate(let size):
            writer.integer(0 as UInt8)
            writer.integer(size)
        case .inline(let bytes):
            writer.integer(1 as UInt8)
            writer.bytes(bytes)
        case .extent(let extent):
            writer.integer(2 as UInt8)
            extent.encode(to: &writer)
        case .hole(let offset, let length):
            writer.integer(3 as UInt8)
            writer.integer(offset)
            writer.integer(length)
        }
    }
}

extension DirectoryEntry: ByteCodable {
    package init(from reader: inout ByteReader) throws(DecodeError) {
        name = try Name(from: &reader)
        inode = try InodeID(from: &reader)
        kind = try reader.choice()
        attributes = try reader.optionalValue()
        content = try reader.optionalValue()
    }

    package func encode(to writer: inout ByteWriter) {
        name.encode(to: &writer)
        inode.encode(to: &writer)
        writer.integer(kind.rawValue)
        writer.optionalValue(attributes)
        writer.optionalValue(content)
    }
}
