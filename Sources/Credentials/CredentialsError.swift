/// What can go wrong with keys, certificates and tokens.
package struct CredentialsError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// The text is no PEM of the expected kind, or its signature or content is wrong.
        case invalid
        /// OpenSSL refused; `cause` has its reason.
        case failed
    }

    package var code: Code
    package var cause: String

    package init(_ code: Code, _ cause: String) {
        self.code = code
        self.cause = cause
    }

    package var description: String { cause }
}
