/// Why a mount could not be made. `description` is one line for the user: what is wrong and what to do.
package struct FuseMountError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// There is no usable /dev/fuse.
        case noDevice
        /// The mount point does not exist.
        case missing
        case notDirectory
        /// Something is mounted there.
        case busy
        case notPermitted
        /// Anything else the system reported.
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
