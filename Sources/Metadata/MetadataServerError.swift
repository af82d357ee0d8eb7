/// What can go wrong with a server of the metadata service itself.
package struct MetadataServerError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// What the log or the state holds contradicts itself; the server must not vote with it.
        case corrupt
        /// The disk or the state store failed.
        case storage
        /// This server does not lead.
        case notLeader
        /// The group does not allow the change, or it did not happen in time.
        case refused
    }

    package var code: Code
    package var cause: String

    package init(_ code: Code, _ cause: String) {
        self.code = code
        self.cause = cause
    }

    package var description: String { cause }
}
