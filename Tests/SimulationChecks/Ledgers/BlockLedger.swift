package import Blocks
package import Bytes
package import Digest
package import Runtime

/// Blocks that were put straight into the ring. Nothing refers to them, and nothing deletes what was never referred to.
@LoopActor
package final class BlockLedger: Ledger {
    package let area: String
    package let recorder: Recorder
    private var blocks: [BlockKey: Int] = [:]
    private var order: [BlockKey] = []
    private var calls = 0
    private var failures = 0

    package init(area: String, recorder: Recorder) {
        self.area = area
        self.recorder = recorder
    }

    /// The keys of acknowledged blocks, the oldest first.
    package var keys: [BlockKey] { order }

    package func length(_ key: BlockKey) -> Int { blocks[key] ?? 0 }

    package func put(_ content: Slice, _ client: any BlockClient, _ who: ClientID) async {
        calls += 1
        let expected = content.withBytes { SHA256.key(of: $0) }
        guard let key = try? await client.put(content) else {
            failures += 1
            return
        }
        guard key == expected else {
            return recorder.violate(Violation(.block, "\(area), block \(expected)", "\(who) was given key \(key) for it"))
        }
        guard blocks[key] == nil else { return }
        blocks[key] = content.count
        order.append(key)
    }

    /// Gets a part of an acknowledged block and compares it; of a whole one the hash, of a part nothing but its length without `content`.
    package func get(
        _ key: BlockKey, offset: Int, count: Int, content: Slice?, _ client: any BlockClient, _ who: ClientID, isFinal: Bool = false
    ) async {
        guard let length = blocks[key] else { return }
        calls += 1
        let part: Slice
        do throws(BlocksError) { part = try await client.get(key, length: length, offset: offset, count: count) } catch {
            failures += 1
            // Too few nodes may answer for now; that none has it, they cannot say as long as they all have it.
            if isFinal || error.code == .invalid {
                recorder.violate(Violation(.block, "\(area), block \(key)", "\(who) cannot get it: \(error)"))
            }
            return
        }
        let isRight =
            if offset == 0, count == length {
                part.withBytes { SHA256.key(of: $0) } == key
            } else {
                part.count == count && content?.part(offset: offset, count: count).map { $0.array == part.array } != false
            }
        if !isRight { recorder.violate(Violation(.block, "\(area), block \(key)", "\(who) got other bytes at \(offset), \(count) of them")) }
    }

    package func readFinal(_ reader: FinalReader) async {
        guard let client = reader.blocks else { return }
        for key in order { await get(key, offset: 0, count: length(key), content: nil, client, reader.client, isFinal: true) }
    }

    package func check(bound: Int) -> CheckReport {
        var report = CheckReport()
        report.operations = calls
        report.failed = failures
        return report
    }
}
