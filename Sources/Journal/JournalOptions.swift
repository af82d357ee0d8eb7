package import Model

/// How a journal behaves.
package struct JournalOptions: Sendable {
    /// What recovery does with a damaged record that was durable once.
    package enum Corruption: Sendable {
        /// `open` throws `.corrupt`; nothing is changed on disk.
        case refuse
        /// The damage is logged and handed to the visitor, and the scan goes on behind it.
        case skip
    }

    /// Written into every segment; a segment of another cluster or node is refused.
    package var cluster: ClusterID
    package var node: NodeID
    /// What the journal is used for, such as 1 for consensus; a segment of another use is refused.
    package var use: UInt32
    /// Bytes of one segment file. A smaller one is made when the disk has little room. 64 KiB … 4 GiB.
    package var segmentBytes: UInt64
    /// Largest payload of a record in bytes.
    package var payloadMax: Int
    /// Most bytes that go out in one write; what does not fit waits for the next. One record larger than this goes out alone.
    package var groupBytesMax: Int
    /// Writes zeros ahead of the end in the background. Overwriting written space makes fdatasync(2) two to four times
    /// cheaper than filling preallocated space, as no extent has to be converted; it costs each byte a second write, so
    /// this is for journals of small records.
    package var zeroFill: Bool
    /// Ordinary records open a new segment only if this many bytes stay available on the disk; urgent ones always may.
    package var reserveBytes: UInt64
    package var corruption: Corruption
    /// Whether recovery also reads and checks the payloads of full segments. Without, it reads their headers only, and
    /// hands out records without payload. The last segment is always read and checked.
    package var recoverPayloads: Bool
    /// Segment files kept open for reading.
    package var openFilesMax: Int

    package init(
        cluster: ClusterID, node: NodeID, use: UInt32, segmentBytes: UInt64 = 64 << 20, payloadMax: Int = 8 << 20,
        groupBytesMax: Int = 8 << 20, zeroFill: Bool = false, reserveBytes: UInt64 = 0, corruption: Corruption = .refuse,
        recoverPayloads: Bool = true, openFilesMax: Int = 256
    ) {
        self.cluster = cluster
        self.node = node
        self.use = use
        self.segmentBytes = segmentBytes
        self.payloadMax = payloadMax
        self.groupBytesMax = groupBytesMax
        self.zeroFill = zeroFill
        self.reserveBytes = reserveBytes
        self.corruption = corruption
        self.recoverPayloads = recoverPayloads
        self.openFilesMax = openFilesMax
    }
}
