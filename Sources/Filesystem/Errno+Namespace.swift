import Blocks
import Glibc
import Metadata
package import Namespace

/// The one table of system error numbers (errno(3)).
extension Errno {
    package static let notPermitted = Errno(rawValue: EPERM)
    package static let notFound = Errno(rawValue: ENOENT)
    package static let io = Errno(rawValue: EIO)
    package static let noDeviceOrAddress = Errno(rawValue: ENXIO)
    package static let tooBig = Errno(rawValue: E2BIG)
    package static let badDescriptor = Errno(rawValue: EBADF)
    package static let exists = Errno(rawValue: EEXIST)
    package static let notDirectory = Errno(rawValue: ENOTDIR)
    package static let isDirectory = Errno(rawValue: EISDIR)
    package static let invalid = Errno(rawValue: EINVAL)
    package static let fileTooLarge = Errno(rawValue: EFBIG)
    package static let noSpace = Errno(rawValue: ENOSPC)
    package static let tooManyLinks = Errno(rawValue: EMLINK)
    package static let range = Errno(rawValue: ERANGE)
    package static let nameTooLong = Errno(rawValue: ENAMETOOLONG)
    package static let notEmpty = Errno(rawValue: ENOTEMPTY)
    package static let noData = Errno(rawValue: ENODATA)
    package static let notSupported = Errno(rawValue: EOPNOTSUPP)
    package static let again = Errno(rawValue: EAGAIN)
    package static let deadlock = Errno(rawValue: EDEADLK)
    package static let noLocks = Errno(rawValue: ENOLCK)
    package static let interrupted = Errno(rawValue: EINTR)
    package static let stale = Errno(rawValue: ESTALE)

    /// What the metadata service refused.
    package init(_ error: NamespaceError) {
        self =
            switch error {
            case .notFound: .notFound
            case .exists: .exists
            case .notDirectory: .notDirectory
            case .isDirectory: .isDirectory
            case .notEmpty: .notEmpty
            // rename(2): EINVAL for a directory that would come to lie in itself.
            case .loop: .invalid
            case .tooManyLinks: .tooManyLinks
            case .nameTooLong: .nameTooLong
            case .fileTooLarge: .fileTooLarge
            case .invalid: .invalid
            case .noAttribute: .noData
            // setxattr(2): E2BIG for a value over the limit.
            case .attributeTooLarge: .tooBig
            case .noSpaceForAttribute: .noSpace
            case .notPermitted: .notPermitted
            case .stale: .stale
            case .noSession, .collected, .inlineContent, .conflict: .io
            }
    }

    init(_ error: MetadataError) {
        self =
            switch error.code {
            case .unavailable, .sessionLost, .protocolViolation: .io
            }
    }

    init(_ error: BlocksError) {
        self =
            switch error.code {
            case .noSpace: .noSpace
            case .lost, .unavailable, .invalid: .io
            }
    }
}
