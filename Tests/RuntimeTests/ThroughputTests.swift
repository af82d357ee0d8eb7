import Bytes
import Glibc
import Model
import Runtime
import Testing
import Transport
import Wire

/// Run by hand with DHTFS_BENCH set; prints what it measures and judges nothing.
@Suite @LoopActor struct ThroughputTests {
    @Test(.enabled(if: getenv("DHTFS_BENCH") != nil)) func echoOfLargePayloads() async throws {
        let authority = try TestAuthority()
        let daemon = try SocketTests.Daemon(try authority.node(1))
        let overUnix = try SocketTests.client(.local, role: .mount, machine: "here", to: daemon)
        let overTLS = try SocketTests.client(.member(try authority.node(2)), role: .node, node: 2, machine: "elsewhere", to: daemon)
        for (name, client) in [("unix", overUnix), ("tls", overTLS)] {
            for (size, count, depth) in [(1 << 20, 2000, 8), (0, 50_000, 32), (0, 10_000, 1)] {
                let payload = size > 0 ? pattern(size) : nil
                _ = try await client.call(NodeID(rawValue: 1), .blockPut, Message(payload: payload), timeout: Nanoseconds.minute)
                let start = SystemClock.shared.now
                let tasks = (0..<depth).map { _ in
                    Task { @LoopActor in
                        for _ in 0..<(count / depth) {
                            _ = try await client.call(NodeID(rawValue: 1), .blockPut, Message(payload: payload), timeout: Nanoseconds.minute)
                        }
                    }
                }
                for task in tasks { try await task.value }
                let seconds = Double(SystemClock.shared.now - start) / 1e9
                print("\(name) size=\(size) depth=\(depth): \(Int(Double(count) / seconds)) calls/s, \(Int(Double(size) * Double(count) / seconds / 1e6)) MB/s each way")
            }
        }
    }
}
