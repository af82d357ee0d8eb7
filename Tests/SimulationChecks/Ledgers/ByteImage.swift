package import Runtime

/// What one writer made of a file, byte by byte, in a few windows of it; between them it is a hole.
@LoopActor
package final class ByteImage {
    package enum Change: Sendable {
        case write(offset: UInt64, bytes: [UInt8])
        case truncate(UInt64)
        case zero(Range<UInt64>)
    }

    /// A file's size, and its bytes in each window; those past the size are zero.
    struct Content: Equatable {
        var size: UInt64 = 0
        var windows: [[UInt8]]
    }

    /// Ranges that are written to, in order, apart from each other.
    package private(set) var windows: [Range<UInt64>] = []
    /// What cannot be lost any more.
    private var kept = Content(windows: [])
    private var current = Content(windows: [])
    private var changes: [Change] = []
    /// Counts changes of the image.
    package private(set) var version: UInt64 = 0
    /// Something was lost, or is perhaps not done: `adopt` finds out.
    package var isDoubtful = false
    /// Who writes, and how many losses of its were known when the image was last sure.
    package private(set) var writer: (client: ClientID, losses: Int)?
    /// The last change was made while something was lost, perhaps after it: then it does not need those before it.
    private var lastStandsAlone = false

    package init() {}

    package func use(_ windows: [Range<UInt64>], writer: ClientID, losses: Int) {
        self.windows = windows
        self.writer = (writer, losses)
        current = Content(windows: windows.map { [UInt8](repeating: 0, count: $0.count) })
        kept = current
    }

    /// For people: sizes, and what was not synced.
    var summary: String {
        let names = changes.map { change in
            switch change {
            case .write(let offset, let bytes): "write \(bytes.count) at \(offset)"
            case .truncate(let size): "truncate to \(size)"
            case .zero(let range): "zero \(range)"
            }
        }
        let state = isDoubtful ? "in doubt, " : lastStandsAlone ? "the last one perhaps alone, " : ""
        return "\(state)\(kept.size) bytes synced, then \(names.joined(separator: ", "))"
    }

    package var size: UInt64 { current.size }
    /// Changes that were not synced.
    package var pending: Int { changes.count }
    /// The parts of the windows that are worth reading.
    package var touched: [Range<UInt64>] { windows }

    /// A change is about to be made.
    package func begin(_ change: Change) {
        version += 1
        changes.append(change)
        apply(change, &current)
        isDoubtful = true
        lastStandsAlone = false
    }

    /// The change was made. `overLoss`: changes may have been lost meanwhile, before or after it.
    package func end(overLoss: Bool) {
        version += 1
        isDoubtful = overLoss
        lastStandsAlone = overLoss
    }

    /// The changes there were when a sync began are safe.
    package func synced(_ count: Int) {
        for change in changes.prefix(count) { apply(change, &kept) }
        changes.removeFirst(min(count, changes.count))
        version += 1
    }

    private func apply(_ change: Change, _ content: inout Content) {
        switch change {
        case .write(let offset, let bytes):
            for (index, window) in windows.enumerated() where window.contains(offset) {
                let start = Int(offset - window.lowerBound)
                content.windows[index].replaceSubrange(start..<start + bytes.count, with: bytes)
            }
            content.size = max(content.size, offset + UInt64(bytes.count))
        case .truncate(let size):
            if size < content.size { clear(size..<content.size, &content) }
            content.size = size
        case .zero(let range): clear(range, &content)
        }
    }

    private func clear(_ range: Range<UInt64>, _ content: inout Content) {
        for (index, window) in windows.enumerated() where window.overlaps(range) {
            let part = window.clamped(to: range)
            for byte in Int(part.lowerBound - window.lowerBound)..<Int(part.upperBound - window.lowerBound) { content.windows[index][byte] = 0 }
        }
    }

    /// What is wrong with bytes that were read; nil where they are right.
    /// - Parameters:
    ///   - isExact: the reader must see all changes; others may see a prefix of those that were not synced.
    ///   - overLoss: the writer has lost changes since its image was sure, perhaps while it made the last one.
    package func mismatch(_ bytes: [UInt8], at offset: UInt64, wanted: Int, isExact: Bool, overLoss: Bool) -> String? {
        guard let problem = Self.difference(bytes, at: offset, wanted, current, windows) else { return nil }
        guard !isExact else { return problem }
        let isLeft = possibleRemains(lastAlone: overLoss || lastStandsAlone) { content, _ in
            Self.difference(bytes, at: offset, wanted, content, windows) == nil
        }
        return isLeft ? nil : problem
    }

    /// What may be left of the changes that were not synced: every prefix of them and, with `lastAlone`, the last one after every prefix.
    /// - Parameter accepts: is given each content and the changes it is made of, longer prefixes later.
    /// - Returns: whether any was accepted.
    private func possibleRemains(lastAlone: Bool, _ accepts: (Content, [Change]) -> Bool) -> Bool {
        var content = kept
        var isAccepted = false
        for index in 0...changes.count {
            if index > 0 { apply(changes[index - 1], &content) }
            if accepts(content, Array(changes[..<index])) { isAccepted = true }
            guard lastAlone, !isAccepted, let last = changes.last else { continue }
            var alone = content
            apply(last, &alone)
            if accepts(alone, changes[..<index] + [last]) { isAccepted = true }
        }
        return isAccepted
    }

    private static func difference(
        _ bytes: [UInt8], at offset: UInt64, _ wanted: Int, _ content: Content, _ windows: [Range<UInt64>]
    ) -> String? {
        let expected = content.size > offset ? min(UInt64(wanted), content.size - offset) : 0
        guard UInt64(bytes.count) == expected else { return "\(bytes.count) bytes in place of \(expected)" }
        for (index, window) in windows.enumerated() {
            let part = window.clamped(to: offset..<offset + expected)
            guard !part.isEmpty else { continue }
            let mine = content.windows[index][Int(part.lowerBound - window.lowerBound)..<Int(part.upperBound - window.lowerBound)]
            let theirs = bytes[Int(part.lowerBound - offset)..<Int(part.upperBound - offset)]
            guard !mine.elementsEqual(theirs) else { continue }
            guard let place = zip(mine, theirs).enumerated().first(where: { $0.element.0 != $0.element.1 }) else { continue }
            return "byte \(part.lowerBound + UInt64(place.offset)) is \(place.element.1) in place of \(place.element.0)"
        }
        return nil
    }

    /// Takes what was found in the windows for what is left.
    /// - Parameter losses: of the writer, as of before anything was looked for.
    /// - Returns: false if it is no prefix of the changes.
    func adopt(size: UInt64, losses: Int, _ parts: [(offset: UInt64, bytes: [UInt8])]) -> Bool {
        var found = Content(size: size, windows: windows.map { [UInt8](repeating: 0, count: $0.count) })
        for (index, window) in windows.enumerated() {
            guard let part = parts.first(where: { $0.offset == window.lowerBound }), part.bytes.count <= window.count else { return false }
            found.windows[index].replaceSubrange(0..<part.bytes.count, with: part.bytes)
        }
        var left: [Change]?
        _ = possibleRemains(lastAlone: lastStandsAlone) { content, changes in
            guard content == found else { return false }
            left = changes
            return true
        }
        guard let left else { return false }
        changes = left
        lastStandsAlone = false
        current = found
        isDoubtful = false
        writer?.losses = losses
        version += 1
        return true
    }
}
