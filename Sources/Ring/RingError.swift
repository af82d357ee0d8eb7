/// What can be wrong with a layout.
package struct RingError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// The number of replicas is not 1 ... `Layout.replicasMax`.
        case replicas
        /// More than `Layout.membersMax` members, or their weights add up to more than `Layout.weightSumMax`.
        case tooLarge
        /// A weight, zone or node id is out of range.
        case member
        /// Two members have one node id.
        case duplicate
        /// The version is not above the one it is to follow.
        case version
    }

    package var code: Code
    package var cause: String

    package init(_ code: Code, _ cause: String) {
        self.code = code
        self.cause = cause
    }

    package var description: String { cause }
}
