import Runtime

/// What is to be said to the leader about the locks of one inode, in this order.
@LoopActor
final class LockLane {
    enum Step {
        case set(OutgoingLock)
        /// The request waits at the leader, and is unwanted.
        case cancel(OutgoingLock)
    }

    /// The first one is under way.
    var steps: [Step] = []
    /// The session is over.
    var isVoid = false
}
