package import Blocks
package import Filesystem
package import Model
import Namespace
package import Runtime
package import TestSupport

/// What a workload needs.
@LoopActor
package struct WorkloadContext {
    package let files: any FileOperations
    /// Only for workloads on blocks.
    package var blocks: (any BlockClient)?
    package let client: ClientID
    /// The directory of the workload's kind, made by `WorkloadKind.prepare` and shared by all clients.
    package let area: InodeID
    package let random: SeededRandom
    package let clock: any Clock
    package let recorder: Recorder
    /// Mean nanoseconds between two steps.
    package var pace: UInt64 = 500 * Nanoseconds.millisecond
    /// Bytes; for sizes around it.
    package var blockSize = 1 << 16
    /// How large things get, 1 ... 4: names, cells, files.
    package var size = 2

    package init(
        files: any FileOperations, blocks: (any BlockClient)? = nil, client: ClientID, area: InodeID, random: SeededRandom,
        clock: any Clock, recorder: Recorder
    ) {
        self.files = files
        self.blocks = blocks
        self.client = client
        self.area = area
        self.random = random
        self.clock = clock
        self.recorder = recorder
    }

    // MARK: Choices

    /// True once in `count` times.
    func once(in count: Int) -> Bool { random.below(count) == 0 }

    func pick<Element>(_ elements: [Element]) -> Element? { elements.isEmpty ? nil : elements[random.below(elements.count)] }

    func number(_ range: ClosedRange<UInt32>) -> UInt32 { range.lowerBound + UInt32(random.below(Int(range.upperBound - range.lowerBound) + 1)) }

    /// Some steps follow each other at once, a few come after a long pause.
    func think() async {
        let choice = random.below(16)
        let mean = Int(pace)
        let pause =
            switch choice {
            case 0...3: random.below(mean / 50 + 1)
            case 4...13: random.below(2 * mean + 1)
            default: random.below(5 * mean + 1)
            }
        await clock.sleep(nanoseconds: UInt64(pause) + 1)
    }

    /// Runs steps with pauses until the deadline.
    func loop(until deadline: UInt64, _ step: () async -> Void) async {
        await think()
        while clock.now < deadline {
            await step()
            await think()
        }
    }
}
