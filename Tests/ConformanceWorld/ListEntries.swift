import Conformance
import Model
import Namespace

/// An access control list as the kernel reads it to check permissions (posix_acl_permission, fs/posix_acl.c); for the model of the kernel, and so apart
/// from what the product does with such lists.
struct ListEntries {
    static let accessName = Array("system.posix_acl_access".utf8)

    static func isName(_ name: [UInt8]) -> Bool { name == accessName || name == Array("system.posix_acl_default".utf8) }

    private var entries: [(tag: UInt16, permissions: UInt16, id: UInt32)] = []

    init(_ bytes: [UInt8]) {
        func number(_ offset: Int, _ size: Int) -> UInt32 { bytes[offset..<(offset + size)].reversed().reduce(0) { $0 << 8 | UInt32($1) } }
        for offset in stride(from: 4, to: bytes.count, by: 8) {
            entries.append((UInt16(number(offset, 2)), UInt16(number(offset + 2, 2)), number(offset + 4, 4)))
        }
    }

    private func permissions(_ tag: UInt16) -> UInt16? { entries.first { $0.tag == tag }?.permissions }

    /// The owner is no matter of the list: the mode tells.
    func grants(_ wanted: UInt16, to user: User, of attributes: Attributes) -> Bool {
        let mask = permissions(0x10) ?? 7
        if let named = entries.first(where: { $0.tag == 0x02 && $0.id == user.uid }) { return named.permissions & mask & wanted == wanted }
        let groups = entries.filter { $0.tag == 0x04 && user.belongs(to: attributes.gid) || $0.tag == 0x08 && user.belongs(to: $0.id) }
        guard groups.isEmpty else { return groups.contains { $0.permissions & mask & wanted == wanted } }
        return (permissions(0x20) ?? 0) & wanted == wanted
    }
}
