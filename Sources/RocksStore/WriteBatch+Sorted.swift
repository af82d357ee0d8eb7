import OrderedStore

extension WriteBatch {
    /// The operations in the order of their keys, those of one key in the order in which they came: the memory table finds the place of a row at once if it is
    /// next to that of the row before.
    var sorted: [Operation] {
        var places: [Place] = []
        places.reserveCapacity(operations.count)
        for (position, operation) in operations.enumerated() { places.append(Place(operation.key, position)) }
        places.sort { first, second in
            if first.head != second.head { return first.head < second.head }
            if first.neck != second.neck { return first.neck < second.neck }
            let (one, other) = (operations[first.position].key, operations[second.position].key)
            return one == other ? first.position < second.position : one.lexicographicallyPrecedes(other)
        }
        return places.map { operations[$0.position] }
    }

    /// Where an operation belongs, as far as the first 16 bytes of its key tell.
    private struct Place {
        /// Big-endian, with zeros behind a shorter key.
        var head: UInt64
        var neck: UInt64
        var position: Int

        init(_ key: [UInt8], _ position: Int) {
            var words: (UInt64, UInt64) = (0, 0)
            withUnsafeMutableBytes(of: &words) { words in
                key.withUnsafeBytes { key in words.copyMemory(from: UnsafeRawBufferPointer(rebasing: key.prefix(words.count))) }
            }
            head = UInt64(bigEndian: words.0)
            neck = UInt64(bigEndian: words.1)
            self.position = position
        }
    }
}

extension WriteBatch.Operation {
    fileprivate var key: [UInt8] {
        switch self {
        case .put(let key, _), .delete(let key): key
        }
    }
}
