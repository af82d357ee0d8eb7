import Model
import OrderedStore

/// Finds the answers to queries.
struct QueryEvaluation {
    let rows: Rows

    func answer(_ query: Query) throws(Failure) -> Answer {
        switch query {
        case .lookup(let parent, let name): try lookup(parent, name)
        case .attributes(let inode): .attributes(try self.inode(inode).attributes)
        case .list(let directory, let after, let limit, let detail): try list(directory, after: after, limit: limit, detail: detail)
        case .content(let inode, let offset, let length): try content(inode, offset: offset, length: length)
        case .symlink(let inode): try symlink(inode)
        case .xattr(let inode, let name): try xattr(inode, name)
        case .xattrNames(let inode): try xattrNames(inode)
        case .statistics: try statistics()
        case .record(let key): try record(key)
        case .records(let prefix): try records(prefix)
        case .path(let inode): try path(inode)
        }
    }

    private func read<Value>(_ body: () throws(StoreError) -> Value) throws(Failure) -> Value {
        do throws(StoreError) { return try body() } catch { throw .store(error) }
    }

    private func inode(_ inode: InodeID) throws(Failure) -> InodeRecord {
        guard let record = try read({ () throws(StoreError) in try rows.inode(inode) }) else { throw .refused(.stale) }
        return record
    }

    private func directory(_ inode: InodeID) throws(Failure) -> InodeRecord {
        let record = try self.inode(inode)
        guard record.attributes.kind == .directory else { throw .refused(.notDirectory) }
        return record
    }

    private func missing(_ inode: InodeID) -> Failure {
        .store(StoreError(.corrupt, "a row of inode \(inode) is missing"))
    }

    private func lookup(_ parent: InodeID, _ name: Name) throws(Failure) -> Answer {
        _ = try directory(parent)
        guard let entry = try read({ () throws(StoreError) in try rows.entry(parent, name) }) else { throw .refused(.notFound) }
        guard let record = try read({ () throws(StoreError) in try rows.inode(entry.inode) }) else { throw missing(entry.inode) }
        return .found(record.attributes, content: try smallContent(record))
    }

    /// The content of a file if there is little to say.
    private func smallContent(_ record: InodeRecord) throws(Failure) -> Content? {
        guard record.attributes.kind == .file else { return nil }
        if record.inlineLength > 0 { return try inlineContent(record) }
        guard record.extents <= Limits.extentsPerLookup else { return nil }
        return .extents(try extents(record, from: 0, to: record.attributes.size))
    }

    private func list(_ directory: InodeID, after: Name?, limit: Int, detail: ListDetail) throws(Failure) -> Answer {
        guard (1...(detail == .contents ? Limits.contentsPerAnswer : Limits.entriesPerAnswer)).contains(limit) else { throw .refused(.invalid) }
        _ = try self.directory(directory)
        var entries = try read { () throws(StoreError) in try rows.entries(of: directory, after: after, limit: limit + 1) }
        let isComplete = entries.count <= limit
        if !isComplete { entries.removeLast() }
        guard detail != .nothing else { return .entries(entries, complete: isComplete) }
        for index in entries.indices where detail > .directories || entries[index].kind == .directory {
            let inode = entries[index].inode
            guard let record = try read({ () throws(StoreError) in try rows.inode(inode) }) else { throw missing(inode) }
            entries[index].attributes = record.attributes
            if detail == .contents { entries[index].content = try smallContent(record) }
        }
        return .entries(entries, complete: isComplete)
    }

    private func content(_ inode: InodeID, offset: UInt64, length: UInt64) throws(Failure) -> Answer {
        let record = try self.inode(inode)
        switch record.attributes.kind {
        case .file: break
        case .directory: throw .refused(.isDirectory)
        default: throw .refused(.invalid)
        }
        if record.inlineLength > 0 { return .content(try inlineContent(record), attributes: record.attributes) }
        let (end, overflow) = offset.addingReportingOverflow(length)
        let found = try extents(record, from: offset, to: min(overflow ? .max : end, record.attributes.size))
        return .content(.extents(found), attributes: record.attributes)
    }

    private func inlineContent(_ record: InodeRecord) throws(Failure) -> Content {
        let inode = record.attributes.inode
        guard let bytes = try read({ () throws(StoreError) in try rows.inline(inode) }) else { throw missing(inode) }
        return .inline(bytes)
    }

    private func extents(_ record: InodeRecord, from lower: UInt64, to upper: UInt64) throws(Failure) -> [Extent] {
        guard lower < upper, record.regions > 0 else { return [] }
        let inode = record.attributes.inode
        let first = UInt32(truncatingIfNeeded: lower / Limits.regionBytes)
        let last = UInt32(truncatingIfNeeded: (upper - 1) / Limits.regionBytes)
        var result: [Extent] = []
        func take(_ extents: [Extent]) throws(Failure) {
            for extent in extents where extent.end > lower && extent.offset < upper { result.append(extent) }
            guard result.count <= Limits.extentsPerAnswer else { throw .refused(.invalid) }
        }
        if first == last {
            try take(try read { () throws(StoreError) in try rows.extents(inode, region: first) })
            return result
        }
        var failure: Failure?
        try read { () throws(StoreError) in
            let end = RowKey.extents(inode, region: last) + [0]
            try rows.forEach(from: RowKey.extents(inode, region: first), to: end) { key, value throws(StoreError) in
                var fields = KeyFields(key)
                _ = fields.unsigned64()
                guard let region = fields.unsigned32() else { throw Rows.corrupt(key) }
                let extents = try Rows.extents(value, region: region, key: key)
                do throws(Failure) { try take(extents) } catch {
                    failure = error
                    return false
                }
                return true
            }
        }
        if let failure { throw failure }
        return result
    }

    private func symlink(_ inode: InodeID) throws(Failure) -> Answer {
        guard try self.inode(inode).attributes.kind == .symlink else { throw .refused(.invalid) }
        guard let target = try read({ () throws(StoreError) in try rows.symlink(inode) }) else { throw missing(inode) }
        return .bytes(target)
    }

    private func xattr(_ inode: InodeID, _ name: [UInt8]) throws(Failure) -> Answer {
        let record = try self.inode(inode)
        guard record.attributes.xattrs > 0, let value = try read({ () throws(StoreError) in try rows.xattr(inode, name) }) else {
            throw .refused(.noAttribute)
        }
        return .bytes(value)
    }

    private func xattrNames(_ inode: InodeID) throws(Failure) -> Answer {
        guard try self.inode(inode).attributes.xattrs > 0 else { return .names([]) }
        let prefix = RowKey.xattr(inode, [])
        let pairs = try read { () throws(StoreError) in try rows.pairs(from: prefix, to: RowKey.end(.xattr, inode.rawValue)) }
        return .names(pairs.map { Array($0.key.dropFirst(prefix.count)) })
    }

    private func statistics() throws(Failure) -> Answer {
        guard let state = try read({ () throws(StoreError) in try rows.state() }) else { throw .store(Rows.corrupt(RowKey.state)) }
        return .statistics(inodes: state.inodes, referencedBytes: state.referencedBytes, blocks: state.blocks)
    }

    private func record(_ key: String) throws(Failure) -> Answer {
        guard let record = try read({ () throws(StoreError) in try rows.record(key) }) else { throw .refused(.notFound) }
        return .record(value: record.value, version: record.version)
    }

    private func records(_ prefix: String) throws(Failure) -> Answer {
        let lower = RowKey.record(prefix)
        let pairs = try read { () throws(StoreError) in
            try rows.pairs(from: lower, to: RowKey.end(ofPrefix: lower), limit: Limits.records)
        }
        return .keys(pairs.map { String(decoding: $0.key.dropFirst(), as: UTF8.self) })
    }

    private func path(_ inode: InodeID) throws(Failure) -> Answer {
        let record = try directory(inode)
        let path = try read { () throws(StoreError) in try rows.path(of: record) }
        return .path(path.attributes, names: path.names)
    }
}
