import Bytes
import Digest
import Glibc
package import Model
import Namespace
import Runtime

/// copy_file_range(2) and lseek(2): what files are made of, without moving data.
extension DistributedFilesystem {
    /// Pieces placed by one call; the caller asks again for the rest.
    private static let piecesMax = 512

    package func copyRange(
        from source: InodeID, handle: UInt64, offset: UInt64, to target: InodeID, targetHandle: UInt64, targetOffset: UInt64, count: Int
    ) async throws(Errno) -> Int {
        let from = try file(handle, source)
        let to = try file(targetHandle, target)
        guard count > 0 else { return 0 }
        let length = UInt64(count)
        guard offset <= Limits.fileBytes, targetOffset <= Limits.fileBytes, length <= Limits.fileBytes - targetOffset else {
            throw .fileTooLarge
        }
        if source == target, offset < targetOffset + length, targetOffset < offset + length { throw .invalid }
        while true {
            // Blocks have names only when they are committed; a little is copied sooner than it is committed.
            if from.inode.uncommittedBytes > options.blockSize { try await commit(from.inode) }
            let (fragments, _) = try await fragments(from.inode, offset: offset, count: count)
            if fragments.isEmpty { return 0 }
            let attributes = try await exclusive(to.inode)
            try to.checkLocks()
            if needsCommit(to.inode) {
                try await commit(to.inode)
                continue
            }
            var position = targetOffset
            var pieces: [Piece] = []
            for fragment in fragments.prefix(Self.piecesMax) {
                switch fragment {
                case .zero(let count):
                    pieces.append(Piece(offset: position, length: UInt64(count), source: .zero))
                case .bytes(let slice):
                    // Inline, or written since the commit.
                    appendMemory(slice, at: position, to: &pieces)
                case .block(let key, let blockLength, let blockOffset, let count):
                    pieces.append(
                        Piece(
                            offset: position, length: UInt64(count),
                            source: .block(key: key, blockLength: UInt32(blockLength), blockOffset: UInt32(blockOffset))))
                }
                position += UInt64(fragment.count)
            }
            place(to.inode, pieces, size: attributes.size)
            if to.isSynchronous { try await sync(to) }
            return Int(position - targetOffset)
        }
    }

    /// Copies bytes into memory pieces, one for each block range, so that no run gets longer than a block.
    private func appendMemory(_ content: Slice, at offset: UInt64, to pieces: inout [Piece]) {
        let blockSize = UInt64(options.blockSize)
        let contentEnd = offset + UInt64(content.count)
        var position = offset
        while position < contentEnd {
            let end = min(contentEnd, (position / blockSize + 1) * blockSize)
            let block = DirtyBlock(start: position, capacity: Int(end - position), meter: meter)
            content.withBytes { bytes in
                let part = UnsafeRawBufferPointer(rebasing: bytes[Int(position - offset)..<Int(end - offset)])
                block.store(part, at: position, capacityMax: part.count)
            }
            pieces.append(Piece(offset: position, length: end - position, source: .memory(block)))
            position = end
        }
    }

    package func seek(_ id: InodeID, handle: UInt64, offset: UInt64, whence: Int32) async throws(Errno) -> UInt64 {
        let inode = try file(handle, id).inode
        let seekData: Int32 = 3
        let seekHole: Int32 = 4
        guard whence == seekData || whence == seekHole else { throw .invalid }
        var position = offset
        while true {
            let (fragments, size) = try await fragments(inode, offset: position, count: Self.fragmentBytesMax)
            guard position < size else {
                // The end of the file is a hole; there is no data behind it.
                if whence == seekHole, offset < size { return size }
                throw .noDeviceOrAddress
            }
            for fragment in fragments {
                if case .zero = fragment {
                    if whence == seekHole { return position }
                } else if whence == seekData {
                    return position
                }
                position += UInt64(fragment.count)
            }
        }
    }
}
