/// The key of a row as that of a dictionary. Hashes its bytes at once, where an array hashes them one by one.
struct RowName: Hashable, Sendable {
    let key: [UInt8]

    init(_ key: [UInt8]) { self.key = key }

    func hash(into hasher: inout Hasher) {
        unsafe key.withUnsafeBytes { bytes in unsafe hasher.combine(bytes: bytes) }
    }
}
