/// A family of decoders that is fuzzed together: the first byte of an input says which one reads the rest.
///
/// Finds are kept with that byte, so decoders are only ever added at the end of the list.
struct FuzzTarget: Sendable {
    let name: String
    /// At most 256.
    let decoders: [Decoder]
    /// Longest input worth trying.
    var inputBytesMax = 16 << 10
    /// No input may make a decoder allocate more than this at once, in MiB.
    var allocationMebibytesMax = 1

    static let all: [FuzzTarget] = [
        frames, channel, metadataMessages, blockMessages, namespaceCoding, namespaceState, consensus, journal, blockStore, layout, text,
        credentials, handshake,
    ]

    /// Gives `input` to the decoder that its first byte names.
    func run(_ input: UnsafeRawBufferPointer) throws(Violation) {
        guard let choice = input.first, Int(choice) < decoders.count else { return }
        try decoders[Int(choice)].run(UnsafeRawBufferPointer(rebasing: input[1...]))
    }

    /// Whole inputs, with their first byte.
    var seeds: [[UInt8]] {
        decoders.enumerated().flatMap { place, decoder in decoder.seeds.map { [UInt8(place)] + $0 } }
    }
}
