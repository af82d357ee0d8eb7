package import Bytes
import Digest
import Model

/// First bytes of encoded commands. Never reused.
private enum Tag {
    static let create: UInt8 = 1
    static let link: UInt8 = 2
    static let unlink: UInt8 = 3
    static let removeDirectory: UInt8 = 4
    static let rename: UInt8 = 5
    static let update: UInt8 = 6
    static let setXattr: UInt8 = 7
    static let removeXattr: UInt8 = 8
    static let reap: UInt8 = 9
    static let openSession: UInt8 = 10
    static let closeSession: UInt8 = 11
    static let collect: UInt8 = 12
    static let collected: UInt8 = 13
    static let setRecord: UInt8 = 14
    static let createTemporary: UInt8 = 15
    static let createNumbered: UInt8 = 16
    static let reserveInodes: UInt8 = 17
}

extension Command: ByteCodable {
    package init(from reader: inout ByteReader) throws(DecodeError) {
        switch try reader.integer(UInt8.self) {
        case Tag.create:
            self = .create(
                parent: try InodeID(from: &reader), name: try Name(from: &reader), kind: try reader.choice(), mode: try reader.integer(),
                umask: try reader.integer(), uid: try reader.integer(), gid: try reader.integer(), device: try reader.integer(),
                target: try reader.bytes(max: Limits.symlinkBytes))
        case Tag.createNumbered:
            self = .createNumbered(
                try InodeID(from: &reader), parent: try InodeID(from: &reader), name: try Name(from: &reader), kind: try reader.choice(),
                mode: try reader.integer(), umask: try reader.integer(), uid: try reader.integer(), gid: try reader.integer(),
                target: try reader.bytes(max: Limits.symlinkBytes))
        case Tag.reserveInodes: self = .reserveInodes(try reader.integer())
        case Tag.createTemporary:
            self = .createTemporary(
                parent: try InodeID(from: &reader), mode: try reader.integer(), umask: try reader.integer(), uid: try reader.integer(),
                gid: try reader.integer())
        case Tag.link:
            self = .link(inode: try InodeID(from: &reader), parent: try InodeID(from: &reader), name: try Name(from: &reader))
        case Tag.unlink:
            self = .unlink(parent: try InodeID(from: &reader), name: try Name(from: &reader), keep: try reader.boolean())
        case Tag.removeDirectory:
            self = .removeDirectory(parent: try InodeID(from: &reader), name: try Name(from: &reader), keep: try reader.boolean())
        case Tag.rename:
            self = .rename(
                from: try InodeID(from: &reader), name: try Name(from: &reader), to: try InodeID(from: &reader),
                newName: try Name(from: &reader), mode: try reader.choice(), keep: try reader.boolean())
        case Tag.update:
            self = .update(
                inode: try InodeID(from: &reader), attributes: try AttributeChange(from: &reader),
                edits: try reader.values(max: Limits.editsPerUpdate), republished: try reader.blockKeys(max: Limits.keysPerCommand))
        case Tag.setXattr:
            self = .setXattr(
                inode: try InodeID(from: &reader), name: try reader.bytes(max: Limits.xattrNameBytes),
                value: try reader.bytes(max: Limits.xattrValueBytes), mode: try reader.choice(), dropsSetGID: try reader.boolean())
        case Tag.removeXattr:
            self = .removeXattr(inode: try InodeID(from: &reader), name: try reader.bytes(max: Limits.xattrNameBytes))
        case Tag.reap:
            self = .reap(try reader.values(max: Limits.keysPerCommand))
        case Tag.openSession:
            self = .openSession(try SessionID(from: &reader), name: try reader.string(max: Limits.sessionNameBytes))
        case Tag.closeSession:
            self = .closeSession(try SessionID(from: &reader))
        case Tag.collect:
            self = .collect(try reader.blockKeys(max: Limits.keysPerCommand))
        case Tag.collected:
            self = .collected(try reader.blockKeys(max: Limits.keysPerCommand))
        case Tag.setRecord:
            self = .setRecord(
                key: try reader.string(max: Limits.recordKeyBytes), expectedVersion: try reader.integer(),
                value: try reader.optional { (reader: inout ByteReader) throws(DecodeError) in try reader.bytes(max: Limits.recordBytes) })
        default: throw .invalid("command")
        }
    }

    package func encode(to writer: inout ByteWriter) {
        switch self {
        case .create(let parent, let name, let kind, let mode, let umask, let uid, let gid, let device, let target):
            writer.integer(Tag.create)
            parent.encode(to: &writer)
            name.encode(to: &writer)
            writer.integer(kind.rawValue)
            writer.integer(mode)
            writer.integer(umask)
            writer.integer(uid)
            writer.integer(gid)
            writer.integer(device)
            writer.bytes(target)
        case .createNumbered(let inode, let parent, let name, let kind, let mode, let umask, let uid, let gid, let target):
            writer.integer(Tag.createNumbered)
            inode.encode(to: &writer)
            parent.encode(to: &writer)
            name.encode(to: &writer)
            writer.integer(kind.rawValue)
            writer.integer(mode)
            writer.integer(umask)
            writer.integer(uid)
            writer.integer(gid)
            writer.bytes(target)
        case .reserveInodes(let count):
            writer.integer(Tag.reserveInodes)
            writer.integer(count)
        case .createTemporary(let parent, let mode, let umask, let uid, let gid):
            writer.integer(Tag.createTemporary)
            parent.encode(to: &writer)
            writer.integer(mode)
            writer.integer(umask)
            writer.integer(uid)
            writer.integer(gid)
        case .link(let inode, let parent, let name):
            writer.integer(Tag.link)
            inode.encode(to: &writer)
            parent.encode(to: &writer)
            name.encode(to: &writer)
        case .unlink(let parent, let name, let keep):
            writer.integer(Tag.unlink)
            parent.encode(to: &writer)
            name.encode(to: &writer)
            writer.boolean(keep)
        case .removeDirectory(let parent, let name, let keep):
            writer.integer(Tag.removeDirectory)
            parent.encode(to: &writer)
            name.encode(to: &writer)
            writer.boolean(keep)
        case .rename(let from, let name, let to, let newName, let mode, let keep):
            writer.integer(Tag.rename)
            from.encode(to: &writer)
            name.encode(to: &writer)
            to.encode(to: &writer)
            newName.encode(to: &writer)
            writer.integer(mode.rawValue)
            writer.boolean(keep)
        case .update(let inode, let attributes, let edits, let republished):
            writer.integer(Tag.update)
            inode.encode(to: &writer)
            attributes.encode(to: &writer)
            writer.values(edits)
            writer.values(republished)
        case .setXattr(let inode, let name, let value, let mode, let dropsSetGID):
            writer.integer(Tag.setXattr)
            inode.encode(to: &writer)
            writer.bytes(name)
            writer.bytes(value)
            writer.integer(mode.rawValue)
            writer.boolean(dropsSetGID)
        case .removeXattr(let inode, let name):
            writer.integer(Tag.removeXattr)
            inode.encode(to: &writer)
            writer.bytes(name)
        case .reap(let inodes):
            writer.integer(Tag.reap)
            writer.values(inodes)
        case .openSession(let session, let name):
            writer.integer(Tag.openSession)
            session.encode(to: &writer)
            writer.string(name)
        case .closeSession(let session):
            writer.integer(Tag.closeSession)
            session.encode(to: &writer)
        case .collect(let keys):
            writer.integer(Tag.collect)
            writer.values(keys)
        case .collected(let keys):
            writer.integer(Tag.collected)
            writer.values(keys)
        case .setRecord(let key, let expectedVersion, let value):
            writer.integer(Tag.setRecord)
            writer.string(key)
            writer.integer(expectedVersion)
            writer.optional(value) { writer, value in writer.bytes(value) }
        }
    }
}

extension Proposal: ByteCodable {
    package init(from reader: inout ByteReader) throws(DecodeError) {
        session = try reader.optionalValue()
        sequence = try reader.integer()
        acknowledgedBelow = try reader.integer()
        time = try reader.integer()
        shown = try reader.optional { (reader: inout ByteReader) throws(DecodeError) in try reader.integer() }
        command = try Command(from: &reader)
    }

    package func encode(to writer: inout ByteWriter) {
        writer.optionalValue(session)
        writer.integer(sequence)
        writer.integer(acknowledgedBelow)
        writer.integer(time)
        writer.optional(shown) { writer, shown in writer.integer(shown) }
        command.encode(to: &writer)
    }
}
