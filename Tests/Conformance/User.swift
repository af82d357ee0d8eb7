/// Who makes a call.
package struct User: Hashable, Sendable, CustomStringConvertible {
    package var uid: UInt32
    package var gid: UInt32
    /// Supplementary groups.
    package var groups: [UInt32] = []

    package init(uid: UInt32, gid: UInt32, groups: [UInt32] = []) {
        self.uid = uid
        self.gid = gid
        self.groups = groups
    }

    package var isRoot: Bool { uid == 0 }
    package func belongs(to group: UInt32) -> Bool { gid == group || groups.contains(group) }

    package static let root = User(uid: 0, gid: 0)
    package static let alice = User(uid: 1001, gid: 1001)
    package static let bob = User(uid: 1002, gid: 1002)
    /// In alice's group as well.
    package static let carol = User(uid: 1003, gid: 1003, groups: [1001])

    package var description: String {
        switch self {
        case .root: "root"
        case .alice: "alice"
        case .bob: "bob"
        case .carol: "carol"
        default: "\(uid):\(gid)"
        }
    }
}
