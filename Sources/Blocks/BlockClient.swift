package import Runtime
package import Bytes
package import Digest

/// Blocks as their users see them: content in, key out. The ring, the replicas and the network are behind it.
@LoopActor
package protocol BlockClient: AnyObject, Sendable {
    /// Stores 1 byte to `blockSizeMax` bytes. Returns when a write quorum of replicas has them on disk. Hashing runs on a worker.
    /// The content must not change until this returns.
    func put(_ content: Slice) async throws(BlocksError) -> BlockKey
    /// Reads `count` bytes from `offset` of a block of `length` bytes. The bytes are verified: the whole block against its key, or,
    /// where only a small part was asked for, the pages that were read against their checksums at the replica.
    func get(_ key: BlockKey, length: Int, offset: Int, count: Int) async throws(BlocksError) -> Slice
}

/// What can go wrong with blocks.
package struct BlocksError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// No replica has a good copy. Reads: EIO.
        case lost
        /// Too few replicas answer; trying again later may help.
        case unavailable
        /// Too few replicas have room: ENOSPC.
        case noSpace
        /// The block is empty, over the limit, or the range is outside it.
        case invalid
    }

    package var code: Code
    package var cause: String

    package init(_ code: Code, _ cause: String) {
        self.code = code
        self.cause = cause
    }

    package var description: String { cause }
}
