/// Access control lists in their binary form (linux/posix_acl_xattr.h).
enum AccessList {
    static let accessName = Array("system.posix_acl_access".utf8)
    static let defaultName = Array("system.posix_acl_default".utf8)

    /// A list of entries such as "u::rw-", "u:1002:r--", "g::r--", "m::r--", "o::---".
    static func bytes(_ entries: String...) -> [UInt8] { bytes(entries) }

    static func bytes(_ entries: [String]) -> [UInt8] {
        number(2, 4)
            + entries.flatMap { entry in
                let parts = entry.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
                let id = UInt32(parts[1])
                let tag: UInt32 =
                    switch parts[0] {
                    case "u": id == nil ? 0x01 : 0x02
                    case "g": id == nil ? 0x04 : 0x08
                    case "m": 0x10
                    default: 0x20
                    }
                let permissions = zip(parts[2], [4, 2, 1]).reduce(UInt32(0)) { $0 + ($1.0 == "-" ? 0 : UInt32($1.1)) }
                return number(tag, 2) + number(permissions, 2) + number(id ?? .max, 4)
            }
    }

    private static func number(_ value: UInt32, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) } }
}
