package import Model
import Runtime

/// Limits and periods of a `RingBlockClient`. Times in nanoseconds.
package struct BlockClientConfiguration: Sendable {
    /// The daemon of our own machine, asked first where it is as good as another; nil if there is none.
    package var ownNode: NodeID?
    /// The filesystem's block size; larger puts are refused. At most `BlockLimits.blockSizeMax`.
    package var blockSizeMax = 1 << 20
    /// How many bytes of puts may be under way; further ones wait their turn.
    package var bytesInFlightMax = 32 << 20
    /// How long a put or get tries before it fails with `.unavailable`.
    package var deadline = 60 * Nanoseconds.second
    /// How long one coordinator may take for a put.
    package var putTimeout = 15 * Nanoseconds.second
    /// After so long without an answer a second replica is made coordinator as well; puts are idempotent.
    package var putHedgeDelay = 3 * Nanoseconds.second
    /// How long one replica may take for a get.
    package var getTimeout = 10 * Nanoseconds.second
    /// Pause between rounds in which nobody could serve; doubles up to `retryPauseMax`.
    package var retryPause = 100 * Nanoseconds.millisecond
    package var retryPauseMax = 2 * Nanoseconds.second
    /// Up to this many bytes, and less than a quarter of the block, only the range is read.
    package var rangeReadMax = 128 << 10

    package init(ownNode: NodeID? = nil) { self.ownNode = ownNode }
}
