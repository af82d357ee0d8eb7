/// What keeps a daemon or a command from doing its work: one line that says what is wrong and what to do.
package struct DaemonError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// A flag, a key or a value that means nothing.
        case usage
        /// The data directory is missing, of another kind, newer, or in use.
        case dataDirectory
        /// The machine refuses: port in use, no permission, disk.
        case system
        /// The cluster or a daemon cannot be reached or refuses.
        case cluster
    }

    package var code: Code
    package var cause: String

    package init(_ code: Code, _ cause: String) {
        self.code = code
        self.cause = cause
    }

    package var description: String { cause }
}
