import Runtime
import SimulationChecks
import Testing

@Suite @LoopActor struct ByteImageTests {
    private let writer = ClientID(machine: 2, life: 0)

    /// A write, then a truncation that has begun.
    private func interrupted() -> ByteImage {
        let image = ByteImage()
        image.use([0..<100], writer: writer, losses: 0)
        image.begin(.write(offset: 0, bytes: [UInt8](repeating: 7, count: 50)))
        image.end(overLoss: false)
        image.begin(.truncate(20))
        return image
    }

    @Test func aReaderMaySeeTheLastChangeAloneOnlyIfTheWriterHasLostSomething() {
        let alone = [UInt8](repeating: 0, count: 20)
        #expect(interrupted().mismatch(alone, at: 0, wanted: 100, isExact: false, overLoss: true) == nil)
        #expect(interrupted().mismatch(alone, at: 0, wanted: 100, isExact: false, overLoss: false) != nil)
    }

    @Test func aReaderMaySeeAnyPrefix() {
        for prefix in [[], [UInt8](repeating: 7, count: 50), [UInt8](repeating: 7, count: 20)] {
            #expect(interrupted().mismatch(prefix, at: 0, wanted: 100, isExact: false, overLoss: false) == nil)
        }
        #expect(interrupted().mismatch([UInt8](repeating: 7, count: 30), at: 0, wanted: 100, isExact: false, overLoss: false) != nil)
    }
}
