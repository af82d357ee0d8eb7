package import Bytes

/// The bytes of writes that tells who wrote them: cells of 16 bytes, the write's tag and the cell's place.
package enum Cells {
    package static let bytes = 16
    private static let appendBit: UInt64 = 1 << 63
    /// So that other content in the same place is not taken for a cell.
    private static let mask: UInt64 = 0x5EED_F11E_CE11_5A17

    /// Cells `place ..< place + count` of a file.
    package static func positioned(tag: UInt64, place: UInt32, count: UInt32) -> Slice {
        make(tag, (place..<place + count).map { UInt64($0) })
    }

    /// Cells of an append, whose place in the file is not known beforehand.
    package static func appended(tag: UInt64, count: UInt32) -> Slice { make(tag, (0..<count).map { UInt64($0) | appendBit }) }

    private static func make(_ tag: UInt64, _ places: [UInt64]) -> Slice {
        var writer = ByteWriter(reserving: places.count * bytes)
        for place in places {
            writer.integer(tag)
            writer.integer(place ^ mask ^ tag)
        }
        return Slice(copying: writer.bytes)
    }

    /// What was read from cell `place` of a file on; nil where bytes are no cells, or cells of another place.
    package static func runs(_ slices: [Slice], at place: UInt32) -> (runs: [CellMap.Run], count: UInt32)? {
        let all = slices.count == 1 ? slices[0].array : slices.flatMap(\.array)
        guard all.count % bytes == 0 else { return nil }
        var runs: [CellMap.Run] = []
        for index in 0..<all.count / bytes {
            let tag = word(all, index * bytes)
            let stated = word(all, index * bytes + 8)
            if tag == 0, stated == 0 { continue }
            let position = place + UInt32(index)
            let value = stated ^ mask ^ tag
            var origin: UInt32 = 0
            if value & appendBit != 0 {
                guard value & ~appendBit <= UInt64(position) else { return nil }
                origin = position - UInt32(value & ~appendBit)
            } else {
                guard value == UInt64(position) else { return nil }
            }
            if let last = runs.indices.last, runs[last].end == position, runs[last].tag == tag, runs[last].origin == origin {
                runs[last].end += 1
            } else {
                runs.append(CellMap.Run(start: position, end: position + 1, tag: tag, origin: origin))
            }
        }
        return (runs, UInt32(all.count / bytes))
    }

    private static func word(_ bytes: [UInt8], _ offset: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in (0..<8).reversed() { value = value << 8 | UInt64(bytes[offset + index]) }
        return value
    }
}
