import Glibc
import Runtime
import Telemetry
import Testing

@testable import FuseMount

/// Whether this machine can mount.
let canMount = geteuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0

/// A filesystem in memory, mounted in a new directory.
@LoopActor
final class Mounted {
    let files = RamFiles()
    let path: String
    let mount: FuseMount

    init(_ adjust: (inout FuseOptions) -> Void = { _ in }) throws {
        path = try Self.directory()
        var options = FuseOptions()
        options.name = "ram,test"
        adjust(&options)
        mount = FuseMount(mountPoint: path, options: options, operations: files, log: Log(component: "mount", level: .error))
    }

    static func directory() throws -> String {
        var template = Array("/tmp/dhtfs-mount-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Mounts, runs `body` with a child, unmounts and removes the directory.
    static func with(
        _ adjust: (inout FuseOptions) -> Void = { _ in }, _ body: @LoopActor (Mounted, Child) async throws -> Void
    ) async throws {
        let mounted = try Mounted(adjust)
        try await mounted.mount.mount()
        let child = try Child(mounted.path)
        do { try await body(mounted, child) } catch { Issue.record(error) }
        mounted.files.letGo()
        #expect(await child.end())
        await mounted.mount.stop()
        #expect(MountPoint.top(at: mounted.path) == nil)
        #expect(rmdir(mounted.path) == 0)
    }
}
