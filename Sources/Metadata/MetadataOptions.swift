package import Model
package import Namespace
import Runtime
package import Consensus

/// How a server of the metadata service behaves. Times in nanoseconds.
package struct MetadataOptions: Sendable {
    package var cluster: ClusterID
    package var node: NodeID
    /// Absolute path of the consensus log's directory.
    package var logDirectory: String
    /// Bytes of one file of the log.
    package var logSegmentBytes: UInt64 = 32 << 20
    package var timing = Timing.standard
    /// How long a session lives without a request.
    package var sessionTimeToLive: UInt64 = 15 * Nanoseconds.second
    /// How long a session that is alive may take to answer a recall (it may have much to flush).
    package var recallDeadline: UInt64 = 120 * Nanoseconds.second
    /// Leases in all; above it the oldest shared ones are recalled.
    package var leases = 1_000_000
    package var locks = LockTable.Limits()
    /// The log is compacted when either is reached.
    package var compactBytes = 16 << 20
    package var compactEntries = 50_000
    /// Entries that stay in the log for followers that are a little behind.
    package var keptEntries: UInt64 = 2000
    /// Commands and bytes that go into one entry.
    package var batchCommands = 512
    package var batchBytes = 1 << 20
    /// Entries that are proposed and not applied; commands that arrive meanwhile wait and are joined.
    package var entriesInFlight = 2
    /// Between two looks at blocks that are due for collection and at orphans.
    package var collectionInterval: UInt64 = 10 * Nanoseconds.second
    /// Requests that wait for a recall, a commit or the end of a grace period.
    package var waitingRequests = 16_384
    /// How many voters a group should have.
    package var votersTarget = 3

    package init(cluster: ClusterID, node: NodeID, logDirectory: String) {
        self.cluster = cluster
        self.node = node
        self.logDirectory = logDirectory
    }
}
