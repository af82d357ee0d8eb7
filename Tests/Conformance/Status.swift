/// What statx(2) says.
package struct Status: Equatable, Sendable {
    /// With the S_IFMT part.
    package var mode: UInt32 = 0
    package var links: UInt32 = 0
    package var uid: UInt32 = 0
    package var gid: UInt32 = 0
    package var inode: UInt64 = 0
    package var size: UInt64 = 0
    /// Of 512 bytes.
    package var blocks: UInt64 = 0
    package var device: UInt64 = 0
    package var accessed = Time()
    package var modified = Time()
    package var changed = Time()

    package init() {}

    package var kind: UInt32 { mode & 0o170000 }
    /// Permissions with set-id and sticky bits.
    package var permissions: UInt32 { mode & 0o7777 }
}

/// Seconds and nanoseconds since 1970.
package struct Time: Equatable, Comparable, Sendable, CustomStringConvertible {
    package var seconds: Int64
    package var nanoseconds: Int64

    package init(_ seconds: Int64 = 0, _ nanoseconds: Int64 = 0) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    /// UTIME_NOW and UTIME_OMIT of utimensat(2).
    package static let now = Time(0, (1 << 30) - 1)
    package static let omit = Time(0, (1 << 30) - 2)

    package static func < (left: Time, right: Time) -> Bool { (left.seconds, left.nanoseconds) < (right.seconds, right.nanoseconds) }
    package var description: String { self == .now ? "now" : self == .omit ? "omit" : "\(seconds)s\(nanoseconds)" }
}

/// What statvfs(3) says.
package struct Space: Equatable, Sendable {
    package var blockSize: UInt64
    package var fragmentSize: UInt64
    package var blocks: UInt64
    package var free: UInt64
    package var available: UInt64
    package var files: UInt64
    package var freeFiles: UInt64
    package var nameMax: UInt64

    package init(blockSize: UInt64, fragmentSize: UInt64, blocks: UInt64, free: UInt64, available: UInt64, files: UInt64, freeFiles: UInt64, nameMax: UInt64) {
        self.blockSize = blockSize
        self.fragmentSize = fragmentSize
        self.blocks = blocks
        self.free = free
        self.available = available
        self.files = files
        self.freeFiles = freeFiles
        self.nameMax = nameMax
    }
}

/// One entry as getdents64(2) gives it.
package struct Entry: Equatable, Sendable {
    package var name: [UInt8]
    package var inode: UInt64
    /// DT_ of dirent.h.
    package var kind: UInt8
    /// To be given to `Call.seek` to go on after this entry.
    package var next: Int64

    package init(name: [UInt8], inode: UInt64, kind: UInt8, next: Int64) {
        self.name = name
        self.inode = inode
        self.kind = kind
        self.next = next
    }
}
