package import Bytes
import Model

extension Query: ByteCodable {
    package init(from reader: inout ByteReader) throws(DecodeError) {
        switch try reader.integer(UInt8.self) {
        case 0: self = .lookup(parent: try InodeID(from: &reader), name: try Name(from: &reader))
        case 1: self = .attributes(try InodeID(from: &reader))
        case 2:
            self = .list(
                directory: try InodeID(from: &reader), after: try reader.optionalValue(), limit: Int(try reader.integer(UInt32.self)),
                detail: try reader.choice())
        case 3: self = .content(try InodeID(from: &reader), offset: try reader.integer(), length: try reader.integer())
        case 4: self = .symlink(try InodeID(from: &reader))
        case 5: self = .xattr(try InodeID(from: &reader), name: try reader.bytes(max: Limits.xattrNameBytes))
        case 6: self = .xattrNames(try InodeID(from: &reader))
        case 7: self = .statistics
        case 8: self = .record(key: try reader.string(max: Limits.recordKeyBytes))
        case 9: self = .records(prefix: try reader.string(max: Limits.recordKeyBytes))
        case 10: self = .path(try InodeID(from: &reader))
        default: throw .invalid("query")
        }
    }

    package func encode(to writer: inout ByteWriter) {
        switch self {
        case .lookup(let parent, let name):
            writer.integer(0 as UInt8)
            parent.encode(to: &writer)
            name.encode(to: &writer)
        case .attributes(let inode):
            writer.integer(1 as UInt8)
            inode.encode(to: &writer)
        case .list(let directory, let after, let limit, let detail):
            writer.integer(2 as UInt8)
            directory.encode(to: &writer)
            writer.optionalValue(after)
            writer.integer(UInt32(clamping: limit))
            writer.integer(detail.rawValue)
        case .content(let inode, let offset, let length):
            writer.integer(3 as UInt8)
            inode.encode(to: &writer)
            writer.integer(offset)
            writer.integer(length)
        case .symlink(let inode):
            writer.integer(4 as UInt8)
            inode.encode(to: &writer)
        case .xattr(let inode, let name):
            writer.integer(5 as UInt8)
            inode.encode(to: &writer)
            writer.bytes(name)
        case .xattrNames(let inode):
            writer.integer(6 as UInt8)
            inode.encode(to: &writer)
        case .statistics: writer.integer(7 as UInt8)
        case .record(let key):
            writer.integer(8 as UInt8)
            writer.string(key)
        case .records(let prefix):
            writer.integer(9 as UInt8)
            writer.string(prefix)
        case .path(let inode):
            writer.integer(10 as UInt8)
            inode.encode(to: &writer)
        }
    }
}

extension Answer: ByteCodable {
    package init(from reader: inout ByteReader) throws(DecodeError) {
        switch try reader.integer(UInt8.self) {
        case 0: self = .attributes(try Attributes(from: &reader))
        case 1: self = .found(try Attributes(from: &reader), content: try reader.optionalValue())
        case 2: self = .entries(try reader.values(max: Limits.entriesPerAnswer), complete: try reader.boolean())
        case 3: self = .content(try Content(from: &reader), attributes: try Attributes(from: &reader))
        case 4: self = .bytes(try reader.bytes(max: Limits.xattrValueBytes))
        case 5:
            self = .names(
                try reader.array(max: Limits.xattrTotalBytes) { (reader: inout ByteReader) throws(DecodeError) in
                    try reader.bytes(max: Limits.xattrNameBytes)
                })
        case 6:
            self = .statistics(inodes: try reader.integer(), referencedBytes: try reader.integer(), blocks: try reader.integer())
        case 7: self = .record(value: try reader.bytes(max: Limits.recordBytes), version: try reader.integer())
        case 8:
            self = .keys(
                try reader.array(max: Limits.records) { (reader: inout ByteReader) throws(DecodeError) in
                    try reader.string(max: Limits.recordKeyBytes)
                })
        case 9: self = .path(try reader.values(max: Limits.pathDepth), names: try reader.values(max: Limits.pathDepth))
        case 10: self = .failed(try NamespaceError(from: &reader))
        default: throw .invalid("answer")
        }
    }

    package func encode(to writer: inout ByteWriter) {
        switch self {
        case .attributes(let attributes):
            writer.integer(0 as UInt8)
            attributes.encode(to: &writer)
        case .found(let attributes, let content):
            writer.integer(1 as UInt8)
            attributes.encode(to: &writer)
            writer.optionalValue(content)
        case .entries(let entries, let complete):
            writer.integer(2 as UInt8)
            writer.values(entries)
            writer.boolean(complete)
        case .content(let content, let attributes):
            writer.integer(3 as UInt8)
            content.encode(to: &writer)
            attributes.encode(to: &writer)
        case .bytes(let bytes):
            writer.integer(4 as UInt8)
            writer.bytes(bytes)
        case .names(let names):
            writer.integer(5 as UInt8)
            writer.array(names) { writer, name in writer.bytes(name) }
        case .statistics(let inodes, let referencedBytes, let blocks):
            writer.integer(6 as UInt8)
            writer.integer(inodes)
            writer.integer(referencedBytes)
            writer.integer(blocks)
        case .record(let value, let version):
            writer.integer(7 as UInt8)
            writer.bytes(value)
            writer.integer(version)
        case .keys(let keys):
            writer.integer(8 as UInt8)
            writer.array(keys) { writer, key in writer.string(key) }
        case .path(let attributes, let names):
            writer.integer(9 as UInt8)
            writer.values(attributes)
            writer.values(names)
        case .failed(let error):
            writer.integer(10 as UInt8)
            error.encode(to: &writer)
        }
    }
}
