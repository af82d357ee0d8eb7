package import Filesystem

/// A quantity with a limit, looked at from time to time during a run and in the end.
package struct Gauge: Equatable, Sendable {
    package var name: String
    package var value: UInt64
    package var limit: UInt64

    package init(_ name: String, _ value: some BinaryInteger, limit: some BinaryInteger) {
        self.name = name
        self.value = UInt64(clamping: value)
        self.limit = UInt64(clamping: limit)
    }

    /// Violations of those that are over their limits.
    package static func check(_ gauges: [Gauge], at place: String) -> [Violation] {
        gauges.filter { $0.value > $0.limit }.map {
            Violation(.unbounded, "\(place): \($0.name)", "is \($0.value), the limit is \($0.limit)")
        }
    }

    /// What a mount holds in memory. A single write over the limit is let through, and buffers are rounded up: so one block of grace.
    package static func memory(_ memory: FilesystemMemory, _ options: FilesystemOptions) -> [Gauge] {
        [
            Gauge("dirty bytes", memory.dirty, limit: options.dirtyBytes + 2 * options.blockSize),
            Gauge("cached bytes", memory.dirty + memory.clean, limit: options.cacheBytes + options.dirtyBytes + 2 * options.blockSize),
            Gauge("cached items", memory.items, limit: options.cachedItems + 65_536),
        ]
    }

    /// A mount at rest holds nothing back.
    package static func rest(_ memory: FilesystemMemory) -> [Gauge] { [Gauge("dirty bytes at rest", memory.dirty, limit: 0)] }
}
