extension UInt64 {
    /// Parses exactly 16 lower-case hexadecimal digits; nil for anything else.
    ///
    /// `UInt64(_:radix:)` also takes a sign and capitals, with which one identifier would have several names.
    package init?(hexadecimalDigits text: some StringProtocol) {
        var value: UInt64 = 0
        var count = 0
        for digit in text.utf8 {
            switch digit {
            case 0x30...0x39: value = value << 4 | UInt64(digit - 0x30)
            case 0x61...0x66: value = value << 4 | UInt64(digit - 0x61 + 10)
            default: return nil
            }
            count += 1
        }
        guard count == 16 else { return nil }
        self = value
    }
}
