/// What happened in a run, line by line. Two runs of a seed have the same.
package final class Trace {
    /// Newest lines, kept for a report.
    private var lines: [String] = []
    private let kept: Int
    private let prints: Bool
    /// FNV-1a over all lines (Fowler, Noll and Vo).
    package private(set) var digest: UInt64 = 0xCBF2_9CE4_8422_2325
    package private(set) var count = 0

    /// - Parameters:
    ///   - kept: how many lines are kept; the oldest go first.
    ///   - prints: each line is printed at once.
    package init(kept: Int = 4000, prints: Bool = false) {
        self.kept = kept
        self.prints = prints
    }

    /// Adds a line.
    /// - Parameter now: nanoseconds since the world's beginning.
    package func add(_ now: UInt64, _ who: String, _ what: String) {
        let line = "\(Self.time(now)) \(who) \(what)"
        for byte in line.utf8 { digest = (digest ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        count += 1
        if prints { print(line) }
        lines.append(line)
        if lines.count > 2 * kept { lines.removeFirst(lines.count - kept) }
    }

    /// The newest lines, at most `limit`.
    package func tail(_ limit: Int) -> ArraySlice<String> { lines.suffix(limit) }

    /// Seconds with microseconds.
    package static func time(_ nanoseconds: UInt64) -> String {
        let micros = nanoseconds / 1000
        let fraction = String(micros % 1_000_000)
        return "\(micros / 1_000_000)." + String(repeating: "0", count: 6 - fraction.count) + fraction
    }
}
