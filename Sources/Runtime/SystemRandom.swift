import CPosix

/// Randomness from the kernel (getrandom(2)), fetched a page at a time.
@LoopActor
package final class SystemRandom: RandomSource {
    private var numbers = [UInt64](repeating: 0, count: 512)
    private var used = 512

    package init() {}

    package func next() -> UInt64 {
        if used == numbers.count {
            let filled = numbers.withUnsafeMutableBytes { bytes in
                guard let base = bytes.baseAddress else { return false }
                return CPosix_random(base, bytes.count) == 0
            }
            precondition(filled, "getrandom(2) cannot fail once the system is up")
            used = 0
        }
        defer { used += 1 }
        let number = numbers[used]
        // What was handed out is not left in memory.
        numbers[used] = 0
        return number
    }
}
