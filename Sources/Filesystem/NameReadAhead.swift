/// When a directory whose names are looked up one by one is worth a listing: whoever walks through a tree pays one question for many names, whoever
/// asks for a few names of a huge directory hardly pays for listings.
struct NameReadAhead {
    /// Names that one reading ahead asks for.
    static let names = 512
    private static let patienceMin = 4
    private static let patienceMax = 4096
    private static let unservedPatienceMax = 64

    /// Lookups since the last reading ahead that had to be asked for, and that had not.
    private var misses = 0
    private var hits = 0
    /// So many misses lead to the next one: four times as many after one that hardly served.
    private var patience = patienceMin
    private var hasBegun = false
    private var isUnderWay = false

    mutating func noteHit() { hits += 1 }

    /// - Returns: whether to read ahead now; then `end` must follow.
    mutating func noteMiss() -> Bool {
        guard !isUnderWay else { return false }
        misses += 1
        guard misses >= patience else { return false }
        if hasBegun { patience = hits * 16 >= Self.names ? Self.patienceMin : min(patience * 4, Self.patienceMax) }
        hasBegun = true
        isUnderWay = true
        misses = 0
        hits = 0
        return true
    }

    /// - Parameter served: most names came with leases. Otherwise others are at work on the files, and few hits say nothing about who looks them up.
    mutating func end(served: Bool) {
        isUnderWay = false
        guard !served else { return }
        hasBegun = false
        patience = min(patience * 2, Self.unservedPatienceMax)
    }
}
