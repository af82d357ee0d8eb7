/// Why one daemon did not do what was asked.
package struct ReplicaError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// No connection or no answer in time. It may have been done.
        case silent
        /// It cannot serve now.
        case busy
        /// It refuses us, or does not understand us.
        case refused
        /// It tried and failed.
        case failed(BlockFailure.Code)
    }

    package var code: Code
    package var cause: String

    package init(_ code: Code, _ cause: String) {
        self.code = code
        self.cause = cause
    }

    /// Whether it is certain that this daemon has no good copy.
    package var isAbsent: Bool { code == .failed(.missing) || code == .failed(.corrupt) }

    package var description: String { cause }
}
