import Namespace

/// Extents of a file by region, for those regions that are known.
struct ExtentMap {
    /// Sorted, not overlapping, none across a region's border.
    private(set) var regions: [UInt64: [Extent]] = [:]
    /// Whether regions that are not listed hold nothing.
    private(set) var complete: Bool
    private(set) var count = 0

    init(complete: Bool) { self.complete = complete }

    /// All extents of a file.
    init(all extents: [Extent]) {
        complete = true
        for extent in extents { regions[Self.region(extent.offset), default: []].append(extent) }
        count = extents.count
    }

    static func region(_ offset: UInt64) -> UInt64 { offset / Limits.regionBytes }

    /// Regions that a range touches.
    static func regions(of range: Range<UInt64>) -> ClosedRange<UInt64> {
        region(range.lowerBound)...region(max(range.lowerBound, range.upperBound - 1))
    }

    func isKnown(_ range: Range<UInt64>) -> Bool {
        if complete || range.isEmpty { return true }
        for region in Self.regions(of: range) where regions[region] == nil { return false }
        return true
    }

    /// Learns whole regions; `extents` are all that touch them.
    mutating func learn(_ learned: ClosedRange<UInt64>, _ extents: [Extent]) {
        if complete { return }
        for region in learned {
            count -= regions[region]?.count ?? 0
            regions[region] = []
        }
        for extent in extents where learned.contains(Self.region(extent.offset)) {
            regions[Self.region(extent.offset), default: []].append(extent)
            count += 1
        }
    }

    /// Extents that touch a known range, cut to it, in order.
    func extents(in range: Range<UInt64>) -> [Extent] {
        guard !range.isEmpty else { return [] }
        var result: [Extent] = []
        for region in Self.regions(of: range) {
            guard let list = regions[region] else { continue }
            var index = Self.firstIndex(list, endingAfter: range.lowerBound)
            while index < list.count, list[index].offset < range.upperBound {
                result.append(list[index].clamped(to: range))
                index += 1
            }
        }
        return result
    }

    mutating func remove(_ range: Range<UInt64>) {
        let affected =
            range.upperBound == .max || range.upperBound / Limits.regionBytes - range.lowerBound / Limits.regionBytes > 64
            ? regions.keys.filter { ($0 + 1) * Limits.regionBytes > range.lowerBound && $0 * Limits.regionBytes < range.upperBound }
            : Array(Self.regions(of: range))
        for region in affected {
            guard let list = regions[region] else { continue }
            var rest: [Extent] = []
            rest.reserveCapacity(list.count + 1)
            for extent in list {
                guard extent.end > range.lowerBound, extent.offset < range.upperBound else {
                    rest.append(extent)
                    continue
                }
                if extent.offset < range.lowerBound { rest.append(extent.clamped(to: extent.offset..<range.lowerBound)) }
                if extent.end > range.upperBound { rest.append(extent.clamped(to: range.upperBound..<extent.end)) }
            }
            count += rest.count - list.count
            regions[region] = rest
        }
    }

    /// Takes in an extent; nothing happens where its region is not known.
    mutating func replace(_ extent: Extent) {
        let region = Self.region(extent.offset)
        if regions[region] == nil {
            guard complete else { return }
            regions[region] = []
        }
        remove(extent.offset..<extent.end)
        var list = regions.removeValue(forKey: region) ?? []
        list.insert(extent, at: Self.firstIndex(list, endingAfter: extent.offset))
        regions[region] = list
        count += 1
    }

    private static func firstIndex(_ list: [Extent], endingAfter offset: UInt64) -> Int {
        var low = 0
        var high = list.count
        while low < high {
            let middle = (low + high) / 2
            if list[middle].end > offset { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

extension Extent {
    /// The part inside `range`, which must overlap the extent.
    func clamped(to range: Range<UInt64>) -> Extent {
        let lower = max(offset, range.lowerBound)
        let upper = min(end, range.upperBound)
        return Extent(
            offset: lower, length: UInt32(upper - lower), key: key, blockLength: blockLength, blockOffset: blockOffset + UInt32(lower - offset))
    }
}
