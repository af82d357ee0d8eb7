import CFuse

/// What is asked of the kernel at INIT, and why. Printed at mount.
struct FuseCapability: Sendable {
    let name: String
    let bit: UInt32
    let wanted: Bool

    static let all: [FuseCapability] = [
        // Read-ahead and large reads run in parallel.
        .init(name: "async_read", bit: bits(FUSE_CAP_ASYNC_READ), wanted: true),
        .init(name: "async_dio", bit: bits(FUSE_CAP_ASYNC_DIO), wanted: true),
        .init(name: "parallel_dirops", bit: bits(FUSE_CAP_PARALLEL_DIROPS), wanted: true),
        .init(name: "readdirplus", bit: bits(FUSE_CAP_READDIRPLUS), wanted: true),
        .init(name: "readdirplus_auto", bit: bits(FUSE_CAP_READDIRPLUS_AUTO), wanted: true),
        // One round trip for open with O_TRUNC, and no moment in which another machine sees the file empty but not open.
        .init(name: "atomic_o_trunc", bit: bits(FUSE_CAP_ATOMIC_O_TRUNC), wanted: true),
        // Cached pages are used only while the attributes are valid: a process that is frozen or cut off makes readers wait
        // instead of showing them the past. The kernel lets this exclude explicit_inval_data.
        .init(name: "auto_inval_data", bit: bits(FUSE_CAP_AUTO_INVAL_DATA), wanted: true),
        .init(name: "explicit_inval_data", bit: bits(FUSE_CAP_EXPLICIT_INVAL_DATA), wanted: false),
        // The second version of it is wanted: see `FuseTranslation`. Kernels before 5.12 clear set-id bits by setattr when a file is written or changes its owner.
        .init(name: "handle_killpriv", bit: bits(FUSE_CAP_HANDLE_KILLPRIV), wanted: false),
        // Dirty pages in the kernel would be neither ordered nor coherent between machines.
        .init(name: "writeback_cache", bit: bits(FUSE_CAP_WRITEBACK_CACHE), wanted: false),
        // Content comes from and goes to memory; a pipe in between would be one more step.
        .init(name: "splice_read", bit: bits(FUSE_CAP_SPLICE_READ), wanted: false),
        .init(name: "splice_write", bit: bits(FUSE_CAP_SPLICE_WRITE), wanted: false),
        .init(name: "splice_move", bit: bits(FUSE_CAP_SPLICE_MOVE), wanted: false),
        // Locks count on all machines.
        .init(name: "posix_locks", bit: bits(FUSE_CAP_POSIX_LOCKS), wanted: true),
        .init(name: "flock_locks", bit: bits(FUSE_CAP_FLOCK_LOCKS), wanted: true),
        // The kernel checks permissions by access control lists; which one a new file begins with is found out where it is made.
        .init(name: "posix_acl", bit: bits(FUSE_CAP_POSIX_ACL), wanted: true),
        .init(name: "export", bit: bits(FUSE_CAP_EXPORT_SUPPORT), wanted: false),
        // The umask arrives by itself: a default access control list takes its place.
        .init(name: "dont_mask", bit: bits(FUSE_CAP_DONT_MASK), wanted: true),
        .init(name: "ioctl_dir", bit: bits(FUSE_CAP_IOCTL_DIR), wanted: false),
        // A target never changes while its inode lives, and an inode number never means another one.
        .init(name: "cache_symlinks", bit: bits(FUSE_CAP_CACHE_SYMLINKS), wanted: true),
    ]

    private static func bits(_ value: Int32) -> UInt32 { UInt32(bitPattern: value) }

    /// Sets `want` to the wanted capabilities that the kernel has. Returns the table for the log: "+" used, "!" missing, "-" not wanted.
    static func negotiate(_ connection: inout fuse_conn_info) -> String {
        connection.want = all.reduce(0) { $0 | ($1.wanted ? $1.bit : 0) } & connection.capable
        return all.map { ($0.wanted ? (connection.capable & $0.bit != 0 ? "+" : "!") : "-") + $0.name }.joined(separator: " ")
    }
}
