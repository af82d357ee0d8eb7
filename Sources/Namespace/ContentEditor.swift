import Digest
import Model
import OrderedStore

/// Applies edits to a copy of a file's content, then writes what changed.
struct ContentEditor {
    private struct Region {
        var extents: [Extent]
        let existed: Bool
        var isChanged = false
    }

    private let transaction: Transaction
    private(set) var record: InodeRecord
    private var inline: [UInt8] = []
    private var regions: [UInt32: Region] = [:]
    private var references = ReferenceChanges()

    init(_ record: InodeRecord, in transaction: Transaction) throws(Failure) {
        self.transaction = transaction
        self.record = record
        if record.inlineLength > 0 {
            let key = RowKey.inline(record.attributes.inode)
            guard let bytes = try transaction.get(key), bytes.count == record.inlineLength else { throw .store(Rows.corrupt(key)) }
            inline = bytes
        }
    }

    mutating func apply(_ edit: Edit) throws(Failure) {
        switch edit {
        case .truncate(let size): try truncate(size)
        case .inline(let bytes):
            guard bytes.count <= Limits.inlineBytes else { throw .refused(.invalid) }
            try truncate(0)
            inline = bytes
            record.attributes.size = UInt64(bytes.count)
        case .extent(let extent): try put(extent)
        case .hole(let offset, let length):
            let (end, overflow) = offset.addingReportingOverflow(length)
            guard length > 0, !overflow else { throw .refused(.invalid) }
            try clear(from: offset, to: min(end, record.attributes.size))
        }
    }

    /// Writes the rows of extents, inline content and references, not the inode's.
    /// - Parameter republished: see `Command.update`.
    mutating func write(republished: [BlockKey]) throws(Failure) {
        let inode = record.attributes.inode
        for (number, region) in regions.sorted(by: { $0.key < $1.key }) where region.isChanged {
            guard region.extents.count <= Limits.extentsPerRegion else { throw .refused(.invalid) }
            let key = RowKey.extents(inode, region: number)
            if !region.extents.isEmpty {
                if !region.existed { record.regions += 1 }
                transaction.put(key, ExtentRow(region.extents).encoded(region: number))
            } else if region.existed {
                guard record.regions > 0 else { throw .store(Rows.corrupt(RowKey.inode(inode))) }
                record.regions -= 1
                transaction.delete(key)
            }
        }
        let before = UInt64(record.inlineLength)
        record.attributes.allocated -= min(allocation(of: before), record.attributes.allocated)
        record.attributes.allocated += allocation(of: UInt64(inline.count))
        record.inlineLength = UInt32(inline.count)
        if !inline.isEmpty {
            transaction.put(RowKey.inline(inode), inline)
        } else if before > 0 {
            transaction.delete(RowKey.inline(inode))
        }
        try transaction.apply(references, republished: republished)
    }

    // MARK: Edits

    private mutating func truncate(_ size: UInt64) throws(Failure) {
        guard size <= Limits.fileBytes else { throw .refused(.fileTooLarge) }
        if size < record.attributes.size { try clear(from: size, to: record.attributes.size) }
        record.attributes.size = size
    }

    private mutating func put(_ extent: Extent) throws(Failure) {
        let (end, overflow) = extent.offset.addingReportingOverflow(UInt64(extent.length))
        guard extent.isSound, !overflow else { throw .refused(.invalid) }
        guard end <= Limits.fileBytes else { throw .refused(.fileTooLarge) }
        guard (end - 1) / Limits.regionBytes == extent.region else { throw .refused(.invalid) }
        guard inline.isEmpty else { throw .refused(.inlineContent) }
        try replace(UInt32(extent.region), from: extent.offset, to: end, with: extent)
        record.attributes.size = max(record.attributes.size, end)
    }

    /// Makes a hole. `upper` is at most the size.
    private mutating func clear(from lower: UInt64, to upper: UInt64) throws(Failure) {
        guard lower < upper else { return }
        if !inline.isEmpty {
            if upper >= inline.count {
                inline.removeSubrange(min(Int(clamping: lower), inline.count)...)
            } else {
                for place in Int(lower)..<Int(upper) { inline[place] = 0 }
            }
            return
        }
        let first = UInt32(lower / Limits.regionBytes)
        let last = UInt32((upper - 1) / Limits.regionBytes)
        var touched = Set(regions.keys.filter { (first...last).contains($0) })
        if record.regions > 0 { touched.formUnion(try transaction.regions(record.attributes.inode, in: first...last)) }
        for region in touched.sorted() { try replace(region, from: lower, to: upper, with: nil) }
    }

    /// Takes what lies in `lower ..< upper` out of a region, cutting what reaches out of it, and puts `extent` there.
    private mutating func replace(_ number: UInt32, from lower: UInt64, to upper: UInt64, with extent: Extent?) throws(Failure) {
        // Taken out while it changes, so that its array is not copied.
        var region = if let loaded = regions.removeValue(forKey: number) { loaded } else { try load(number) }
        defer { regions[number] = region }
        let first = region.extents.partitioningIndex { $0.end > lower }
        var last = first
        while last < region.extents.count, region.extents[last].offset < upper { last += 1 }
        guard first < last || extent != nil else { return }
        var pieces: [Extent] = []
        for old in region.extents[first..<last] {
            uncount(old)
            if let left = old.clipped(from: old.offset, to: lower) { pieces.append(left) }
        }
        if let extent { pieces.append(extent) }
        for old in region.extents[first..<last] {
            if let right = old.clipped(from: upper, to: old.end) { pieces.append(right) }
        }
        for piece in pieces { count(piece) }
        region.extents.replaceSubrange(first..<last, with: pieces)
        region.isChanged = true
    }

    private func load(_ number: UInt32) throws(Failure) -> Region {
        let extents = record.regions > 0 ? try transaction.extents(record.attributes.inode, region: number) : nil
        return Region(extents: extents ?? [], existed: extents != nil)
    }

    private mutating func count(_ extent: Extent) {
        references.add(extent)
        record.extents += 1
        record.attributes.allocated += extent.allocated
    }

    private mutating func uncount(_ extent: Extent) {
        references.remove(extent)
        record.extents -= min(record.extents, 1)
        record.attributes.allocated -= min(extent.allocated, record.attributes.allocated)
    }
}

extension [Extent] {
    /// The first place from which on `predicate` holds. - Precondition: it holds for no element before one for which it does not.
    func partitioningIndex(where predicate: (Extent) -> Bool) -> Int {
        var low = startIndex
        var high = endIndex
        while low < high {
            let middle = (low + high) / 2
            if predicate(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
