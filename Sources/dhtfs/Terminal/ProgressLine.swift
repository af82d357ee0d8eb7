import Glibc

/// A line on the terminal with how far something is, how fast it goes and how long it will take.
struct ProgressLine {
    private let what: String
    private let total: UInt64
    private let start: UInt64
    private var shown: UInt64 = 0

    /// - Parameter total: in the unit of `update`.
    init(_ what: String, total: UInt64) {
        self.what = what
        self.total = total
        start = Self.now
    }

    /// Shows `done` at most ten times a second.
    mutating func update(_ done: UInt64, unit: (UInt64) -> String) {
        let now = Self.now
        guard now - shown > 100_000_000 else { return }
        shown = now
        let elapsed = Double(now - start) / 1e9
        let rate = elapsed > 0 ? Double(done) / elapsed : 0
        let share = total == 0 ? 1 : min(1, Double(done) / Double(total))
        let filled = Int(share * 24)
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 24 - filled)
        let left = rate > 0 && total > done ? ", \(Terminal.duration(seconds: UInt64(Double(total - done) / rate))) left" : ""
        Terminal.progress("\(what) [\(bar)] \(unit(done)) of \(unit(total)), \(unit(UInt64(rate)))/s\(left)")
    }

    func end() { Terminal.endProgress() }

    private static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
