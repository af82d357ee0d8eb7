package import Model

/// An event after which un-synced changes of a client may be gone.
package struct Loss: Equatable, Sendable {
    package enum Cause: String, Sendable {
        /// The process is gone.
        case ended
        /// It lost its session; it goes on with a new one.
        case session
        /// It said that it gives changes of a file up.
        case dropped
        /// It said that a change of names, of which its caller was told, did not happen or may not have.
        case names
    }

    package var client: ClientID
    package var cause: Cause
    /// The file, where it is about one.
    package var inode: InodeID?
    /// When others may first have noticed: a session that was cut off is ended by the leader before its owner knows.
    package var from: Moment
    /// When it was noticed by the client or done to it.
    package var noticed: Moment
}
