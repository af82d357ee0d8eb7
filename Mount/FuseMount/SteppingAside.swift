/// When the thread of a queue steps aside for the program whose request it has answered (`CPosix_step_aside`).
///
/// A program is woken on the processor it was on if nothing runs there, and so loses no time on waking another one. But until it waits for something again,
/// others on that processor are not served. So whoever asks for little between long computations is let go elsewhere.
struct SteppingAside {
    /// Nanoseconds for which a program may keep the processor.
    private static let longest: Int64 = 150_000
    private static let skipsMin = 16
    private static let skipsMax = 1024
    private static let busySkips = 8

    private var left = 0
    private var skips = 0

    /// Whether to step aside for the next answer; then `took` must follow.
    mutating func isDue() -> Bool {
        guard left > 0 else { return true }
        left -= 1
        return false
    }

    /// There is more to do than to answer: something is sent to others, who take processors too.
    mutating func isBusy() { left = max(left, Self.busySkips) }

    /// It was so many nanoseconds until the thread was back.
    mutating func took(_ time: Int64) {
        skips = time > Self.longest ? min(max(skips * 2, Self.skipsMin), Self.skipsMax) : skips / 2
        if time > Self.longest { left = skips }
    }
}
