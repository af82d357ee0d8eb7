/// Changes inputs as a fuzzer does, the same way each time.
struct Mutator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// 0 ..< `bound`, by SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    private mutating func below(_ bound: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return Int((mixed ^ (mixed >> 31)) % UInt64(bound))
    }

    private static let interesting: [UInt64] = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, .max >> 1, 1 << 63, .max]

    /// One to four changes of bytes, of numbers, or of the length.
    mutating func mutate(_ input: [UInt8]) -> [UInt8] {
        var bytes = input
        for _ in 0...below(4) { change(&bytes) }
        return bytes
    }

    private mutating func change(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else {
            bytes.append(UInt8(below(256)))
            return
        }
        let place = below(bytes.count)
        switch below(8) {
        case 0: bytes[place] ^= 1 << UInt8(below(8))
        case 1: bytes[place] = UInt8(below(256))
        case 2, 3:
            let value = Self.interesting[below(Self.interesting.count)]
            let width = [1, 2, 4, 8][below(4)]
            for offset in 0..<width where place + offset < bytes.count {
                bytes[place + offset] = UInt8(truncatingIfNeeded: value >> UInt64(8 * offset))
            }
        case 4: bytes.removeSubrange(place..<min(bytes.count, place + 1 + below(8)))
        case 5: bytes.insert(contentsOf: (0...below(8)).map { _ in UInt8(below(256)) }, at: place)
        case 6: bytes.removeSubrange(place...)
        default:
            let part = bytes[place..<min(bytes.count, place + 1 + below(64))]
            bytes.insert(contentsOf: part, at: below(bytes.count + 1))
        }
    }
}
