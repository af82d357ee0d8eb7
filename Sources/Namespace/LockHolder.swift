package import Model

/// An owner in one of all sessions.
package struct LockHolder: Hashable, Sendable {
    package var session: SessionID
    package var owner: LockOwner

    package init(_ session: SessionID, _ owner: LockOwner) {
        self.session = session
        self.owner = owner
    }

}
