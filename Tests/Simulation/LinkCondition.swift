/// How bytes travel from one machine to another. Times in nanoseconds.
package struct LinkCondition: Equatable, Sendable {
    /// Of every piece.
    package var latencyMin: UInt64 = 50_000
    /// On top, on average, distributed exponentially.
    package var latencyMean: UInt64 = 100_000
    /// Bytes per second.
    package var rate: UInt64 = 125_000_000
    /// How many of 10,000 pieces are lost once and sent again by TCP after `retransmission`; again with the same chance.
    package var loss: Int = 0
    /// Nothing gets through. TCP keeps it and goes on when the link is back.
    package var isCut = false

    /// A retransmission timeout that doubles, as Linux begins with (RFC 6298).
    package static let retransmission: UInt64 = 200_000_000

    package init() {}
}
