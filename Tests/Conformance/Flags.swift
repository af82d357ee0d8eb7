import CSystem

/// Flags that Swift's view of the C library leaves out.
package enum Flags {
    package static let direct = CSystem_o_direct
    package static let path = CSystem_o_path
    package static let temporary = CSystem_o_tmpfile
    package static let noAccessTime = CSystem_o_noatime
    package static let noFollow = CSystem_o_nofollow
    package static let directory = CSystem_o_directory

    /// lseek(2).
    package static let seekData: Int32 = 3
    package static let seekHole: Int32 = 4

    /// fallocate(2).
    package static let keepSize: Int32 = 0x01
    package static let punchHole: Int32 = 0x02
    package static let collapse: Int32 = 0x08
    package static let zeroRange: Int32 = 0x10
    package static let insert: Int32 = 0x20

    /// renameat2(2).
    package static let noReplace: UInt32 = 1
    package static let exchange: UInt32 = 2
    package static let whiteout: UInt32 = 4

    /// setxattr(2).
    package static let xattrCreate: Int32 = 1
    package static let xattrReplace: Int32 = 2

    /// File types of inode(7).
    package static let typeMask: UInt32 = 0o170000
    package static let fifo: UInt32 = 0o010000
    package static let characterDevice: UInt32 = 0o020000
    package static let directoryType: UInt32 = 0o040000
    package static let blockDevice: UInt32 = 0o060000
    package static let file: UInt32 = 0o100000
    package static let symlink: UInt32 = 0o120000
    package static let socket: UInt32 = 0o140000
}
