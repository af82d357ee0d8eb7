import Runtime

/// How long the operations of a `MemoryDisk` take.
package struct MemoryDiskLatency: Sendable {
    /// Times in nanoseconds, spread exponentially above the least and cut at the most.
    package struct Spread: Sendable {
        package var min: UInt64
        package var mean: UInt64
        package var max: UInt64

        package init(min: UInt64, mean: UInt64, max: UInt64) {
            self.min = min
            self.mean = mean
            self.max = max
        }

        /// Only steps that every machine computes alike: the logarithm is taken as straight between the powers of two.
        @LoopActor
        func draw(_ random: SeededRandom) -> UInt64 {
            guard mean > min else { return min }
            let bits = random.next() | 1
            let zeros = bits.leadingZeroBitCount
            let fraction = Double((bits << UInt64(zeros)) >> 11) / Double(UInt64(1) << 53)
            let logarithm = Double(zeros) + 2 - 2 * fraction
            // Its mean is 1.5: 1 of leading zeros and a half of the rest.
            let beyond = Double(mean - min) * logarithm / 1.5
            return Swift.min(max, min &+ UInt64(Swift.min(beyond, 1e18)))
        }
    }

    package var read: Spread
    package var write: Spread
    package var sync: Spread
    /// Opening, creating, renaming, removing, listing.
    package var names: Spread
    /// Added for each 4 KiB that are read or written.
    package var perPage: UInt64
    /// All of it times this; changed at any time, it holds for the operations that begin later.
    package var slowdown: Double

    package init(read: Spread, write: Spread, sync: Spread, names: Spread, perPage: UInt64, slowdown: Double = 1) {
        self.read = read
        self.write = write
        self.sync = sync
        self.names = names
        self.perPage = perPage
        self.slowdown = slowdown
    }

    /// A solid-state disk.
    package static let solidState = MemoryDiskLatency(
        read: Spread(min: 2_000, mean: 60_000, max: 5_000_000), write: Spread(min: 2_000, mean: 20_000, max: 5_000_000),
        sync: Spread(min: 100_000, mean: 800_000, max: 50_000_000), names: Spread(min: 2_000, mean: 20_000, max: 5_000_000), perPage: 1_000)

    /// A disk with heads.
    package static let spinning = MemoryDiskLatency(
        read: Spread(min: 2_000, mean: 4_000_000, max: 100_000_000), write: Spread(min: 2_000, mean: 50_000, max: 50_000_000),
        sync: Spread(min: 4_000_000, mean: 15_000_000, max: 500_000_000), names: Spread(min: 2_000, mean: 1_000_000, max: 100_000_000),
        perPage: 25_000)

    @LoopActor
    func draw(_ operation: MemoryDisk.Operation, bytes: Int, _ random: SeededRandom) -> UInt64 {
        let spread =
            switch operation {
            case .read: read
            case .write: write
            case .sync, .syncDirectory: sync
            case .length, .space: Spread(min: names.min, mean: names.min, max: names.min)
            case .open, .createDirectory, .list, .rename, .remove, .allocate, .truncate: names
            }
        let pages = UInt64((bytes + MemoryContent.pageBytes - 1) / MemoryContent.pageBytes)
        let time = Double(spread.draw(random)) + Double(pages) * Double(perPage)
        return UInt64(min(time * max(slowdown, 0), 1e18))
    }
}
