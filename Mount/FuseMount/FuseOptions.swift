/// How to mount. The defaults are those of a tree that all users of a machine share.
package struct FuseOptions: Equatable, Sendable {
    /// Users other than the one who mounts may enter (fuse(8)).
    package var allowOther = true
    /// The kernel checks mode bits; without it everybody who can enter may do everything.
    package var defaultPermissions = true
    /// Set-id bits and file capabilities have no effect. They are kept all the same: other mounts may honour them.
    package var noSetID = true
    /// Device files cannot be opened.
    package var noDevices = true
    package var readOnly = false
    /// Threads that read requests from the kernel: 1 ... 64.
    package var maxThreads = 8
    /// The kernel's read-ahead window in KiB: 0 ... 65,536.
    package var readAheadKiB = 4096
    /// Requests come through io_uring where the kernel can do that (`RequestQueues`).
    package var usesQueues = true
    /// The source shown in /proc/mounts and df(1).
    package var name = "dhtfs"
    /// Has libfuse print each request to standard error.
    package var debug = false

    package init() {}

    /// The value of libfuse's `-o`.
    var text: String {
        var parts = ["fsname=\(Self.escaped(name))", "subtype=dhtfs"]
        if allowOther { parts.append("allow_other") }
        if defaultPermissions { parts.append("default_permissions") }
        parts.append(noSetID ? "nosuid" : "suid")
        parts.append(noDevices ? "nodev" : "dev")
        parts.append(readOnly ? "ro" : "rw")
        if debug { parts.append("debug") }
        return parts.joined(separator: ",")
    }

    /// Commas part options; libfuse takes a backslash as "the next character is meant literally" (fuse_opt.h).
    private static func escaped(_ value: String) -> String {
        String(value.flatMap { $0 == "," || $0 == "\\" ? ["\\", $0] : [$0] })
    }
}
