import Glibc

@_silgen_name("personality") private func setPersonality(_ persona: UInt) -> CInt

/// Makes this process one whose every run is alike.
enum Determinism {
    private static let variable = "SWIFT_DETERMINISTIC_HASHING"
    /// personality(2).
    private static let noRandomAddresses: UInt = 0x0040000
    private static let query: UInt = 0xFFFF_FFFF

    /// Runs the program anew, in place of this process, with hash seeds (Swift's standard library, Hasher) and addresses that are always the same; returns
    /// if it has them already.
    static func ensure() {
        let persona = setPersonality(query)
        guard getenv(variable) == nil || persona & CInt(noRandomAddresses) == 0 else { return }
        setenv(variable, "1", 1)
        // A seed lives for a second, so nothing need be given back to the system: about a tenth faster.
        setenv(
            "GLIBC_TUNABLES", "glibc.malloc.tcache_count=2000:glibc.malloc.mmap_threshold=268435456:glibc.malloc.trim_threshold=1073741824:glibc.malloc.top_pad=67108864",
            0)
        _ = setPersonality(UInt(UInt32(bitPattern: persona)) | noRandomAddresses)
        var arguments: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) }
        arguments.append(nil)
        execv("/proc/self/exe", arguments)
        Console.error("cannot run anew: \(String(cString: strerror(errno)))\n")
        exit(2)
    }
}
