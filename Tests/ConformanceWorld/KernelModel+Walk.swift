import Conformance
import Filesystem
import Glibc
import Model
import Namespace

/// path_resolution(7).
extension KernelModel {
    /// A walk that has come to the last component, in `directory`, which may be searched.
    struct Walk {
        var directory: InodeID
        var rest: [[UInt8]]
        /// The last component has to be a directory.
        var slash: Bool
        var links = 0

        var last: [UInt8] { rest.first ?? [] }
        var isDot: Bool { last == [0x2E] }
        var isDotDot: Bool { last == [0x2E, 0x2E] }
        var isName: Bool { !isDot && !isDotDot }
    }

    private static let linksMax = 40

    func begin(_ path: Path, _ user: User) async throws -> Walk {
        guard !path.bytes.isEmpty else { throw fail(ENOENT) }
        guard path.bytes.count <= 4095 else { throw fail(ENAMETOOLONG) }
        let start = try path.directory.map { try descriptor($0).inode } ?? base
        var walk = Walk(directory: start, rest: [], slash: false)
        prepend(path.bytes, to: &walk)
        try await goToLast(&walk, user)
        return walk
    }

    private func prepend(_ text: [UInt8], to walk: inout Walk) {
        let isLast = walk.rest.isEmpty
        walk.rest = text.split(separator: 0x2F).map(Array.init) + walk.rest
        if isLast, text.last == 0x2F { walk.slash = true }
    }

    /// link_path_walk: all but the last component.
    private func goToLast(_ walk: inout Walk, _ user: User) async throws {
        while true {
            let directory = try await attributes(walk.directory)
            guard directory.kind == .directory else { throw fail(ENOTDIR) }
            guard try await may(user, Self.search, directory) else { throw fail(EACCES) }
            guard walk.rest.count > 1 else { return }
            let name = walk.rest.removeFirst()
            let next = try await step(walk.directory, directory, name)
            try await take(next, &walk)
        }
    }

    /// Goes to an inode, or to where it leads if it is a symlink.
    private func take(_ next: Attributes, _ walk: inout Walk) async throws {
        guard next.kind == .symlink else {
            walk.directory = next.inode
            return
        }
        walk.links += 1
        guard walk.links <= Self.linksMax else { throw fail(ELOOP) }
        prepend(try await files.readSymlink(next.inode), to: &walk)
    }

    private func step(_ id: InodeID, _ directory: Attributes, _ name: [UInt8]) async throws -> Attributes {
        if name == [0x2E] { return directory }
        if name == [0x2E, 0x2E] { return try await attributes(directory.parent.rawValue == 0 ? id : directory.parent) }
        guard directory.links > 0 else { throw fail(ENOENT) }
        return try await files.lookup(id, name).attributes
    }

    /// The last component; nil: there is none of that name. - Throws: other errors than ENOENT.
    func lookup(_ walk: Walk) async throws -> Attributes? {
        do { return try await step(walk.directory, try await attributes(walk.directory), walk.last) } catch {
            if let error = error as? Errno, error.rawValue == ENOENT { return nil }
            throw error
        }
    }

    /// If the last component is a symlink: goes on to the last component of where it leads.
    func follow(_ link: Attributes, _ walk: inout Walk, _ user: User) async throws {
        walk.rest = []
        walk.links += 1
        guard walk.links <= Self.linksMax else { throw fail(ELOOP) }
        prepend(try await files.readSymlink(link.inode), to: &walk)
        try await goToLast(&walk, user)
    }

    func resolve(_ path: Path, _ user: User, follow: Bool) async throws -> Attributes {
        var walk = try await begin(path, user)
        while true {
            guard let found = try await lookup(walk) else { throw fail(ENOENT) }
            if found.kind == .symlink, follow || walk.slash {
                try await self.follow(found, &walk, user)
                continue
            }
            guard !walk.slash || found.kind == .directory else { throw fail(ENOTDIR) }
            return found
        }
    }

    func resolve(_ target: Target, _ user: User) async throws -> Attributes {
        switch target {
        case .path(let path): try await resolve(path, user, follow: true)
        case .link(let path): try await resolve(path, user, follow: false)
        case .descriptor(let number): try await attributes(try descriptor(number).inode)
        }
    }

    /// filename_create: where a new name is to be.
    func place(_ path: Path, _ user: User, isDirectory: Bool = false) async throws -> Walk {
        let walk = try await begin(path, user)
        guard walk.isName else { throw fail(EEXIST) }
        if try await lookup(walk) != nil { throw fail(EEXIST) }
        guard isDirectory || !walk.slash else { throw fail(ENOENT) }
        return walk
    }

    /// Whether `inode` is `directory` or above it.
    func isAncestor(_ inode: InodeID, of directory: InodeID) async throws -> Bool {
        var current = directory
        while current != inode {
            guard current != .root else { return false }
            let parent = try await attributes(current).parent
            guard parent.rawValue != 0 else { return false }
            current = parent
        }
        return true
    }
}
