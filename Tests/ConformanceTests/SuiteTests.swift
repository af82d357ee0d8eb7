import CSystem
import Conformance
import ConformanceWorld
import Filesystem
import FilesystemWorld
import Glibc
import Runtime
import TestSupport
import Testing

/// The conformance suite on layer 4 in this process. On a mount: `Tests/System/test_conformance.py`.
@Suite struct SuiteTests {
    private static let here = Suite.cases.filter { $0.exceptions[.process] == nil }

    @LoopActor private static func calls(mounts: Int, seed: UInt64 = 1) throws -> [ProcessCalls] {
        // Small blocks and caches, so that small files have many.
        let world = try World(mounts: mounts, seed: seed, jittery: seed % 2 == 0) {
            $0.blockSize = 64 << 10
            $0.cacheBytes = 8 << 20
            $0.dirtyBytes = 4 << 20
            $0.checkpointBytes = 1 << 20
        }
        return world.mounts.map { ProcessCalls($0, clock: world.clock) }
    }

    @Test(arguments: here.map(\.name)) func holds(name: String) async throws {
        let test = try #require(Self.here.first { $0.name == name })
        let calls = try await Self.calls(mounts: test.isTwo ? 2 : 1)
        let failure = await BlockingThread.run { Suite.run(test, on: calls[0], calls.last) }
        if let failure { Issue.record("\(name): \(failure)") }
    }

    @Test func namesAreUnique() {
        #expect(Set(Suite.cases.map(\.name)).count == Suite.cases.count)
        #expect(Suite.cases.count > 350)
    }

    /// Whether a directory of this machine can be the oracle: root's, on ext4.
    private static let hasOracle = geteuid() == 0 && CSystem_filesystem_kind("/tmp") == 0xEF53

    /// The kernel's own filesystem must agree in every result, through one mount and through two.
    @Test(.enabled(if: hasOracle), arguments: 1...16) func agreesWithALocalFilesystem(seed: UInt64) async throws {
        let calls = try await Self.calls(mounts: seed % 3 == 0 ? 1 : 2, seed: seed)
        let oracle = try TemporaryDirectory()
        let path = oracle.path
        let difference: String? = try await BlockingThread.run {
            Result {
                guard chmod(path, 0o755) == 0 else { throw Failure("chmod \(path)") }
                let thread = try KernelThread()
                let run = RandomRun(
                    seed: seed, sides: calls.map { RandomRun.Side(tree: $0, oracle: KernelCalls(tree: path, thread: thread)) }, usesPipes: false,
                    usesMappings: false, interval: 200)
                return try run.run(steps: 2000)
            }
        }.get()
        if let difference { Issue.record("seed \(seed):\n\(difference)") }
    }
}
