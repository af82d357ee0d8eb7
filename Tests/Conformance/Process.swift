import Glibc

/// One user's calls in one world. Those that return a value want the call to succeed; `fails` wants an error.
package struct Process: Sendable {
    private nonisolated(unsafe) let calls: any SystemCalls
    package let user: User

    package init(_ calls: any SystemCalls, _ user: User) {
        self.calls = calls
        self.user = user
    }

    package func perform(_ call: Call) -> Returned { calls.perform(call, as: user) }

    /// The answer of a call that must succeed.
    @discardableResult
    package func call(_ call: Call, line: UInt = #line) throws -> Returned {
        let answer = perform(call)
        if case .failed(let code) = answer { throw Failure("line \(line): \(user): \(call) failed with \(ErrorName.of(code))") }
        return answer
    }

    /// The call must fail with this error.
    package func fails(_ code: Int32, _ call: Call, line: UInt = #line) throws { try fails([code], call, line: line) }

    /// The call must fail with one of these errors.
    package func fails(_ codes: [Int32], _ call: Call, line: UInt = #line) throws {
        let answer = perform(call)
        if case .failed(let code) = answer, codes.contains(code) { return }
        let expected = codes.map(ErrorName.of).joined(separator: " or ")
        throw Failure("line \(line): \(user): \(call) gave \(answer), expected \(expected)")
    }

    private func number(_ call: Call, _ line: UInt) throws -> Int {
        guard case .number(let number) = try self.call(call, line: line) else { throw Failure("line \(line): \(call) gave no number") }
        return Int(number)
    }

    private func bytes(_ call: Call, _ line: UInt) throws -> [UInt8] {
        guard case .bytes(let bytes) = try self.call(call, line: line) else { throw Failure("line \(line): \(call) gave no bytes") }
        return bytes
    }

    // MARK: Files

    package func open(_ path: Path, _ flags: Int32 = O_RDONLY, _ mode: UInt32 = 0o644, line: UInt = #line) throws -> Int {
        try number(.open(path, flags: flags, mode: mode), line)
    }

    package func close(_ descriptor: Int, line: UInt = #line) throws { try call(.close(descriptor), line: line) }

    /// Makes or overwrites a file.
    package func put(_ path: Path, _ content: String = "", _ mode: UInt32 = 0o644, line: UInt = #line) throws {
        try put(path, Array(content.utf8), mode, line: line)
    }

    package func put(_ path: Path, _ content: [UInt8], _ mode: UInt32 = 0o644, line: UInt = #line) throws {
        let descriptor = try open(path, O_WRONLY | O_CREAT | O_TRUNC, mode, line: line)
        if !content.isEmpty { try write(descriptor, content, line: line) }
        try close(descriptor, line: line)
    }

    /// The whole content.
    package func content(_ path: Path, line: UInt = #line) throws -> [UInt8] {
        let descriptor = try open(path, O_RDONLY, line: line)
        var content: [UInt8] = []
        while true {
            let part = try read(descriptor, 1 << 20, line: line)
            if part.isEmpty { break }
            content += part
        }
        try close(descriptor, line: line)
        return content
    }

    package func text(_ path: Path, line: UInt = #line) throws -> String { String(decoding: try content(path, line: line), as: UTF8.self) }

    package func write(_ descriptor: Int, _ content: [UInt8], line: UInt = #line) throws {
        let count = try number(.write(descriptor, content), line)
        guard count == content.count else { throw Failure("line \(line): write took \(count) of \(content.count) bytes") }
    }

    package func write(_ descriptor: Int, _ content: String, line: UInt = #line) throws { try write(descriptor, Array(content.utf8), line: line) }

    package func pwrite(_ descriptor: Int, _ content: [UInt8], at offset: Int64, line: UInt = #line) throws {
        let count = try number(.pwrite(descriptor, content, at: offset), line)
        guard count == content.count else { throw Failure("line \(line): pwrite took \(count) of \(content.count) bytes") }
    }

    package func pwrite(_ descriptor: Int, _ content: String, at offset: Int64, line: UInt = #line) throws {
        try pwrite(descriptor, Array(content.utf8), at: offset, line: line)
    }

    package func read(_ descriptor: Int, _ count: Int, line: UInt = #line) throws -> [UInt8] { try bytes(.read(descriptor, count), line) }

    package func pread(_ descriptor: Int, _ count: Int, at offset: Int64, line: UInt = #line) throws -> [UInt8] {
        try bytes(.pread(descriptor, count, at: offset), line)
    }

    @discardableResult
    package func seek(_ descriptor: Int, _ offset: Int64, _ whence: Int32 = SEEK_SET, line: UInt = #line) throws -> Int64 {
        Int64(try number(.seek(descriptor, offset, whence), line))
    }

    package func truncate(_ path: Path, _ size: Int64, line: UInt = #line) throws { try call(.truncate(.path(path), size), line: line) }
    package func truncate(_ descriptor: Int, _ size: Int64, line: UInt = #line) throws { try call(.truncate(.descriptor(descriptor), size), line: line) }

    package func allocate(_ descriptor: Int, _ mode: Int32, _ offset: Int64, _ length: Int64, line: UInt = #line) throws {
        try call(.allocate(descriptor, mode: mode, offset: offset, length: length), line: line)
    }

    package func copy(
        _ from: Int, _ offset: Int64?, _ to: Int, _ toOffset: Int64?, _ count: Int, line: UInt = #line
    ) throws -> Int { try number(.copyRange(from, offset, to, toOffset, count, flags: 0), line) }

    package func sync(_ descriptor: Int, line: UInt = #line) throws { try call(.sync(descriptor, dataOnly: false), line: line) }

    // MARK: Names

    package func mkdir(_ path: Path, _ mode: UInt32 = 0o755, line: UInt = #line) throws { try call(.makeDirectory(path, mode), line: line) }
    package func rmdir(_ path: Path, line: UInt = #line) throws { try call(.removeDirectory(path), line: line) }
    package func unlink(_ path: Path, line: UInt = #line) throws { try call(.unlink(path), line: line) }

    package func rename(_ path: Path, _ other: Path, _ flags: UInt32 = 0, line: UInt = #line) throws {
        try call(.rename(path, other, flags: flags), line: line)
    }

    package func link(_ path: Path, _ other: Path, line: UInt = #line) throws { try call(.link(path, other, follow: false), line: line) }
    package func symlink(_ target: String, _ path: Path, line: UInt = #line) throws { try call(.symlink(Array(target.utf8), path), line: line) }

    package func readlink(_ path: Path, line: UInt = #line) throws -> String { String(decoding: try bytes(.readLink(path), line), as: UTF8.self) }

    package func mknod(_ path: Path, _ mode: UInt32, _ device: UInt32 = 0, line: UInt = #line) throws {
        try call(.makeNode(path, mode: mode, device: device), line: line)
    }

    // MARK: Attributes

    package func status(_ target: Target, line: UInt = #line) throws -> Status {
        guard case .status(let status) = try call(.status(target), line: line) else { throw Failure("line \(line): no status") }
        return status
    }

    package func stat(_ path: Path, line: UInt = #line) throws -> Status { try status(.path(path), line: line) }
    package func lstat(_ path: Path, line: UInt = #line) throws -> Status { try status(.link(path), line: line) }
    package func fstat(_ descriptor: Int, line: UInt = #line) throws -> Status { try status(.descriptor(descriptor), line: line) }
    package func chmod(_ path: Path, _ mode: UInt32, line: UInt = #line) throws { try call(.chmod(.path(path), mode), line: line) }

    package func chown(_ path: Path, _ uid: UInt32?, _ gid: UInt32?, line: UInt = #line) throws {
        try call(.chown(.link(path), uid, gid), line: line)
    }

    package func setTimes(_ path: Path, _ accessed: Time, _ modified: Time, line: UInt = #line) throws {
        try call(.setTimes(.path(path), (accessed, modified)), line: line)
    }

    package func exists(_ path: Path) -> Bool {
        if case .failed(ENOENT) = perform(.status(.link(path))) { false } else { true }
    }

    // MARK: Directories

    /// The names in an open directory from its present position on, "." and ".." included.
    package func list(_ descriptor: Int, room: Int = 32768, line: UInt = #line) throws -> [Entry] {
        var entries: [Entry] = []
        while true {
            guard case .entries(let part) = try call(.entries(descriptor, room: room), line: line) else { throw Failure("line \(line): no entries") }
            if part.isEmpty { return entries }
            entries += part
        }
    }

    /// The names in a directory, sorted, without "." and "..".
    package func names(_ path: Path = ".", line: UInt = #line) throws -> [String] {
        let descriptor = try open(path, O_RDONLY | O_DIRECTORY, line: line)
        let entries = try list(descriptor, line: line)
        try close(descriptor, line: line)
        return entries.map { String(decoding: $0.name, as: UTF8.self) }.filter { $0 != "." && $0 != ".." }.sorted()
    }

    // MARK: Extended attributes

    package func setXattr(_ path: Path, _ name: String, _ value: String, _ flags: Int32 = 0, line: UInt = #line) throws {
        try call(.setXattr(.path(path), name: Array(name.utf8), Array(value.utf8), flags: flags), line: line)
    }

    package func xattr(_ path: Path, _ name: String, line: UInt = #line) throws -> String {
        String(decoding: try bytes(.getXattr(.path(path), name: Array(name.utf8), room: 65_536), line), as: UTF8.self)
    }

    /// The names of extended attributes, sorted.
    package func xattrs(_ path: Path, line: UInt = #line) throws -> [String] {
        try bytes(.listXattr(.path(path), room: 65_536), line).split(separator: 0).map { String(decoding: $0, as: UTF8.self) }.sorted()
    }
}
