import Namespace

/// A file's content as the leader has it, as far as it is known here.
enum StoredContent {
    case unknown
    case inline([UInt8])
    case extents(ExtentMap)

    /// Whether `range` can be read without asking.
    func isKnown(_ range: Range<UInt64>) -> Bool {
        switch self {
        case .unknown: false
        case .inline: true
        case .extents(let map): map.isKnown(range)
        }
    }

    /// How many extents are held, or what takes as much memory, for limits.
    var count: Int {
        switch self {
        case .unknown: 0
        case .inline(let bytes): bytes.count / 128
        case .extents(let map): map.count
        }
    }

    /// Takes in an edit that the leader carried out.
    mutating func apply(_ edit: Edit) {
        switch edit {
        case .truncate(0):
            self = .inline([])
        case .truncate(let size):
            switch self {
            case .unknown: break
            case .inline(let bytes): if size < UInt64(bytes.count) { self = .inline(Array(bytes.prefix(Int(size)))) }
            case .extents(var map):
                self = .unknown
                map.remove(size..<UInt64.max)
                self = .extents(map)
            }
        case .inline(let bytes):
            self = .inline(bytes)
        case .extent(let extent):
            switch self {
            case .unknown: break
            case .inline:
                var map = ExtentMap(complete: true)
                map.replace(extent)
                self = .extents(map)
            case .extents(var map):
                self = .unknown
                map.replace(extent)
                self = .extents(map)
            }
        case .hole(let offset, let length):
            switch self {
            case .unknown: break
            case .inline(var bytes):
                let lower = min(UInt64(bytes.count), offset)
                let upper = min(UInt64(bytes.count), offset + length)
                for index in Int(lower)..<Int(upper) { bytes[index] = 0 }
                self = .inline(bytes)
            case .extents(var map):
                self = .unknown
                map.remove(offset..<(offset + length))
                self = .extents(map)
            }
        }
    }
}
