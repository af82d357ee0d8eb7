/// The latest durations of one kind of request, for their 95th percentile. Nanoseconds.
struct LatencyWindow {
    private static let size = 64
    private static let samplesPerUpdate = 8
    private static let bounds: ClosedRange<UInt64> = 5_000_000...1_000_000_000

    private var samples: [UInt64] = []
    private var next = 0
    private var sinceUpdate = 0
    /// The 95th percentile within 5 ms ... 1 s; 100 ms before there are samples.
    private(set) var percentile95: UInt64 = 100_000_000

    mutating func add(_ duration: UInt64) {
        if samples.count < Self.size {
            samples.append(duration)
        } else {
            samples[next] = duration
            next = (next + 1) % Self.size
        }
        sinceUpdate += 1
        guard sinceUpdate >= Self.samplesPerUpdate else { return }
        sinceUpdate = 0
        let sorted = samples.sorted()
        percentile95 = min(max(sorted[sorted.count * 95 / 100], Self.bounds.lowerBound), Self.bounds.upperBound)
    }
}
