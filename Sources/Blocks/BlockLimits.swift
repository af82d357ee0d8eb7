/// Sizes that every process agrees on.
package enum BlockLimits {
    /// The largest block of any filesystem, in bytes.
    package static let blockSizeMax = 4 << 20
}
