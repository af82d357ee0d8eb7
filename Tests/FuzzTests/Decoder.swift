import Bytes

/// One thing that reads bytes from outside, as the fuzzer sees it.
struct Decoder: Sendable {
    let name: String
    /// Real encodings, from which the fuzzer and the tests start.
    let seeds: [[UInt8]]
    /// How many mutations of each seed the ordinary tests try.
    let mutations: Int
    /// Decodes, and checks what must hold of every input. Whatever the bytes are, it returns or throws a violation; a trap, a hang or an
    /// access out of bounds is what the fuzzer looks for.
    let run: @Sendable (UnsafeRawBufferPointer) throws(Violation) -> Void

    init(
        _ name: String, seeds: [[UInt8]], mutations: Int = 1000, run: @escaping @Sendable (UnsafeRawBufferPointer) throws(Violation) -> Void
    ) {
        self.name = name
        self.seeds = seeds
        self.mutations = mutations
        self.run = run
    }

    /// A type with a byte layout. What decodes must encode to bytes that decode to the same.
    static func codable<Value: ByteCodable & Equatable & SendableMetatype>(_ type: Value.Type = Value.self, _ seeds: Value...) -> Decoder {
        Decoder("\(type)", seeds: seeds.map(\.encoded)) { bytes throws(Violation) in
            guard let value = try? Value(decoding: bytes) else { return }
            try checkStable(value)
        }
    }

    /// A run of values of one type without a count.
    static func sequence<Value: ByteCodable & Sendable>(
        _ name: String, seeds: [[Value]], mutations: Int = 1000,
        use: @escaping @Sendable ([Value]) throws(Violation) -> Void
    ) -> Decoder {
        let encoded = seeds.map { values in values.flatMap(\.encoded) }
        return Decoder(name, seeds: encoded, mutations: mutations) { bytes throws(Violation) in
            var reader = ByteReader(bytes)
            var values: [Value] = []
            while !reader.isAtEnd, values.count < 256, let value = try? Value(from: &reader) { values.append(value) }
            try use(values)
        }
    }

    /// - Throws: unless the encoding of `value` decodes to it, and has one form only.
    static func checkStable<Value: ByteCodable & Equatable>(_ value: Value) throws(Violation) {
        let bytes = value.encoded
        guard let again = try? Value(decoding: bytes) else { throw Violation("\(Value.self) was decoded, but its own encoding is refused: \(value)") }
        try require(again == value, "\(Value.self) changes when it is encoded: \(value)")
        try require(again.encoded == bytes, "\(Value.self) has two encodings: \(value)")
    }
}
