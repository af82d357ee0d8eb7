import Runtime

/// Bytes that the files of a `MemoryDisk` have together, counted as they grow and shrink.
@LoopActor
final class MemoryUsage {
    var bytes = 0
}
