import Bytes
import Consensus
import Model

/// One thing that the consensus journal says. A record holds one or more.
enum LogItem: ByteCodable {
    case hardState(HardState)
    /// Replaces everything in the log from its index on.
    case entry(Entry)
    /// The state store holds everything up to here, durably; entries up to here are no longer needed.
    case mark(SnapshotMark)
    /// A snapshot is about to be put in place of the state; it happened if the state store says so.
    case installing(SnapshotMark)

    /// Term and vote of a server that does not vote at present. Those of others are written without standing.
    private static let hardStateWithStanding: UInt8 = 5

    init(from reader: inout ByteReader) throws(DecodeError) {
        switch try reader.integer(UInt8.self) {
        case 1: self = .hardState(try HardState(from: &reader))
        case 2: self = .entry(try Entry(from: &reader))
        case 3: self = .mark(try SnapshotMark(from: &reader))
        case 4: self = .installing(try SnapshotMark(from: &reader))
        case Self.hardStateWithStanding: self = .hardState(try HardState(from: &reader))
        default: throw .invalid("log item")
        }
    }

    func encode(to writer: inout ByteWriter) {
        switch self {
        case .hardState(let state) where state.standing != .trusted:
            writer.integer(Self.hardStateWithStanding)
            state.encode(to: &writer)
        case .hardState(let state):
            writer.integer(UInt8(1))
            state.encode(to: &writer)
        case .entry(let entry):
            writer.integer(UInt8(2))
            entry.encode(to: &writer)
        case .mark(let mark):
            writer.integer(UInt8(3))
            mark.encode(to: &writer)
        case .installing(let mark):
            writer.integer(UInt8(4))
            mark.encode(to: &writer)
        }
    }
}

/// Rebuilds what Raft must remember from the items of its journal, in order.
struct ConsensusRecovery {
    private(set) var hardState = HardState(term: 0, vote: nil)
    private(set) var mark: SnapshotMark?
    private var installing: SnapshotMark?
    /// The index before the first of `entries`.
    private var base: LogIndex = 0
    private var entries: [Entry] = []
    private var hasItems = false

    mutating func replay(_ item: LogItem) {
        hasItems = true
        switch item {
        case .hardState(let state): hardState = state
        case .entry(let entry): replay(entry)
        case .mark(let mark): cut(at: mark)
        case .installing(let mark): installing = mark
        }
    }

    private mutating func replay(_ entry: Entry) {
        let next = base + UInt64(entries.count) + 1
        if entry.index == next {
            entries.append(entry)
        } else if entry.index > base, entry.index < next {
            entries.removeSubrange(Int(entry.index - base - 1)...)
            entries.append(entry)
        } else {
            // Segments before this one are gone; a later mark must cover what is missing.
            base = entry.index - 1
            entries = [entry]
        }
    }

    /// Drops what the state holds. What follows an entry of another term is not what followed the state.
    private mutating func cut(at mark: SnapshotMark) {
        self.mark = mark
        let last = base + UInt64(entries.count)
        if mark.index >= base, mark.index <= last {
            let keeps = mark.index == base || entries[Int(mark.index - base - 1)].term == mark.term
            entries = keeps ? Array(entries[Int(mark.index - base)...]) : []
            base = mark.index
        } else if mark.index > last {
            entries = []
            base = mark.index
        }
        // A mark before what is left shows as a hole in `finish`.
    }

    /// - Parameter stateIndex: up to where the state store has applied, durably.
    /// - Returns: nil for a journal without content, whatever the state holds.
    /// - Throws: `.corrupt` where log and state contradict each other.
    mutating func finish(stateIndex: LogIndex) throws(MetadataServerError) -> Restored? {
        if let installing, stateIndex >= installing.index, installing.index > mark?.index ?? 0 { cut(at: installing) }
        guard hasItems else { return nil }
        let start = mark ?? SnapshotMark(index: 0, term: 0, configuration: Configuration(voters: [], learners: []))
        guard base == start.index else {
            throw MetadataServerError(.corrupt, "the metadata log has a hole between index \(start.index) and \(base)")
        }
        guard stateIndex >= start.index else {
            throw MetadataServerError(
                .corrupt, "the metadata state is at index \(stateIndex), older than its log, which begins after \(start.index)")
        }
        guard stateIndex <= base + UInt64(entries.count) else {
            throw MetadataServerError(
                .corrupt, "the metadata state is at index \(stateIndex), beyond its log, which ends at \(base + UInt64(entries.count))")
        }
        return Restored(hardState: hardState, snapshot: start, entries: entries)
    }
}
