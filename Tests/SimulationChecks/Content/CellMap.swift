/// What the bytes of a file are made of, in cells of 16 bytes: sorted runs, each from one write; cells in no run are zero.
package struct CellMap: Hashable, Sendable {
    package struct Run: Hashable, Sendable {
        package var start: UInt32
        package var end: UInt32
        /// The write, by its tag.
        package var tag: UInt64
        /// Where the write began if it was an append, whose cells say their place in the write; 0 for others, whose cells say their place
        /// in the file.
        package var origin: UInt32

        package init(start: UInt32, end: UInt32, tag: UInt64, origin: UInt32) {
            self.start = start
            self.end = end
            self.tag = tag
            self.origin = origin
        }

        fileprivate var digest: UInt64 {
            var mixed = (UInt64(start) << 32 | UInt64(end)) &* 0x9E37_79B9_7F4A_7C15 ^ tag &* 0xBF58_476D_1CE4_E5B9 ^ UInt64(origin) &* 0x94D0_49BB_1331_11EB
            mixed = (mixed ^ (mixed >> 31)) &* 0xD6E8_FEB8_6659_FD93
            return mixed ^ (mixed >> 32)
        }
    }

    package private(set) var runs: [Run] = []
    /// Cells.
    package private(set) var size: UInt32 = 0
    /// The sum of the runs' digests, so that states are told apart without looking at all runs.
    private var digest: UInt64 = 0

    package init() {}

    package func hash(into hasher: inout Hasher) {
        hasher.combine(digest)
        hasher.combine(size)
    }

    package static func == (left: CellMap, right: CellMap) -> Bool {
        left.digest == right.digest && left.size == right.size && left.runs == right.runs
    }

    package mutating func write(_ run: Run) {
        guard run.start < run.end else { return }
        clear(run.start..<run.end)
        runs.insert(run, at: place(run.start))
        digest &+= run.digest
        size = max(size, run.end)
    }

    package mutating func truncate(to size: UInt32) {
        if size < self.size { clear(size..<self.size) }
        self.size = size
    }

    /// Makes a range zero; the size stays.
    package mutating func clear(_ range: Range<UInt32>) {
        guard !range.isEmpty else { return }
        var first = place(range.lowerBound)
        if first > 0, runs[first - 1].end > range.lowerBound { first -= 1 }
        var last = first
        var kept: [Run] = []
        while last < runs.count, runs[last].start < range.upperBound {
            let run = runs[last]
            digest &-= run.digest
            if run.start < range.lowerBound { kept.append(Run(start: run.start, end: range.lowerBound, tag: run.tag, origin: run.origin)) }
            if run.end > range.upperBound { kept.append(Run(start: range.upperBound, end: run.end, tag: run.tag, origin: run.origin)) }
            last += 1
        }
        guard last > first else { return }
        for run in kept { digest &+= run.digest }
        runs.replaceSubrange(first..<last, with: kept)
    }

    /// The runs in a range, cut to it.
    package func runs(in range: Range<UInt32>) -> [Run] {
        var place = place(range.lowerBound)
        if place > 0, runs[place - 1].end > range.lowerBound { place -= 1 }
        var result: [Run] = []
        while place < runs.count, runs[place].start < range.upperBound {
            var run = runs[place]
            run.start = max(run.start, range.lowerBound)
            run.end = min(run.end, range.upperBound)
            result.append(run)
            place += 1
        }
        return result
    }

    /// The first run that starts at or after a cell.
    private func place(_ cell: UInt32) -> Int {
        var low = 0
        var high = runs.count
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].start < cell { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension CellMap: CustomStringConvertible {
    package var description: String { "size \(size) " + Self.describe(runs) }

    static func describe(_ runs: [Run]) -> String {
        "[" + runs.map { "\($0.start)..<\($0.end)=w\($0.tag)\($0.origin > 0 ? "@\($0.origin)" : "")" }.joined(separator: " ") + "]"
    }
}
