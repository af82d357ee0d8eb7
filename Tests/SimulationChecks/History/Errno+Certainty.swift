package import Filesystem
import Glibc

extension Errno {
    /// Whether the error leaves open if the call took effect, or says nothing about names and content.
    package var isUncertain: Bool { [EIO, ETIMEDOUT, EINTR, ENOSPC, EDQUOT, EAGAIN].contains(rawValue) }
}
