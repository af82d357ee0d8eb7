/// A point of a run: virtual time, and a number that orders what happened at the same time.
package struct Moment: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Counts recorded events from 1; 0 is before the first.
    package let order: UInt64
    /// Nanoseconds (`Clock.now`).
    package let time: UInt64

    package init(order: UInt64, time: UInt64) {
        self.order = order
        self.time = time
    }

    package static let start = Moment(order: 0, time: 0)

    package static func < (left: Moment, right: Moment) -> Bool { left.order < right.order }

    /// Seconds with milliseconds, and the event number.
    package var description: String {
        let milliseconds = time / 1_000_000 % 1000
        let padding = milliseconds < 10 ? "00" : milliseconds < 100 ? "0" : ""
        return "\(time / 1_000_000_000).\(padding)\(milliseconds)#\(order)"
    }
}
