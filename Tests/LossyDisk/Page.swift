import Glibc

/// 4 KiB of a file, the unit in which content becomes durable or is lost. Shared by the volatile and the durable content until one is written to.
final class Page {
    static let size = 4096
    /// What a disk writes at once; a write torn by a power loss ends at such a border.
    static let sector = 512

    let bytes: UnsafeMutableRawPointer

    /// Zeros.
    init() {
        bytes = UnsafeMutableRawPointer.allocate(byteCount: Self.size, alignment: 16)
        bytes.initializeMemory(as: UInt8.self, repeating: 0, count: Self.size)
    }

    init(copying other: Page) {
        bytes = UnsafeMutableRawPointer.allocate(byteCount: Self.size, alignment: 16)
        bytes.copyMemory(from: other.bytes, byteCount: Self.size)
    }

    deinit { bytes.deallocate() }
}
