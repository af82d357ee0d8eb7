/// What a call is about: a path, with its last symlink followed or not, or a descriptor.
package enum Target: Hashable, Sendable, CustomStringConvertible {
    case path(Path)
    /// The last component is not followed (the l… calls).
    case link(Path)
    case descriptor(Int)

    package var description: String {
        switch self {
        case .path(let path): "\(path)"
        case .link(let path): "\(path) (not followed)"
        case .descriptor(let descriptor): "[\(descriptor)]"
        }
    }
}

/// A system call with its arguments. Descriptors are numbers of the world's own table, the lowest free one first, so that two worlds number alike.
package enum Call: Sendable {
    case open(Path, flags: Int32, mode: UInt32)
    case close(Int)
    case duplicate(Int)
    /// fcntl(2) F_SETFL.
    case setFlags(Int, Int32)
    case read(Int, Int)
    case write(Int, [UInt8])
    case pread(Int, Int, at: Int64)
    case pwrite(Int, [UInt8], at: Int64)
    /// preadv2(2) and pwritev2(2) with RWF_ flags; offset -1: the descriptor's own.
    case preadFlags(Int, Int, at: Int64, flags: Int32)
    case pwriteFlags(Int, [UInt8], at: Int64, flags: Int32)
    case seek(Int, Int64, Int32)
    case truncate(Target, Int64)
    case allocate(Int, mode: Int32, offset: Int64, length: Int64)
    case sync(Int, dataOnly: Bool)
    case copyRange(Int, Int64?, Int, Int64?, Int, flags: UInt32)

    case makeDirectory(Path, UInt32)
    case removeDirectory(Path)
    case unlink(Path)
    case rename(Path, Path, flags: UInt32)
    /// `follow`: AT_SYMLINK_FOLLOW.
    case link(Path, Path, follow: Bool)
    /// linkat(2) with AT_EMPTY_PATH.
    case linkDescriptor(Int, Path)
    case symlink([UInt8], Path)
    case readLink(Path)
    case makeNode(Path, mode: UInt32, device: UInt32)

    case status(Target)
    case chmod(Target, UInt32)
    /// nil: left alone.
    case chown(Target, UInt32?, UInt32?)
    /// nil: a null pointer, both times now.
    case setTimes(Target, (Time, Time)?)
    case access(Path, Int32)
    /// AT_EACCESS.
    case umask(UInt32)

    /// getdents64(2) into a buffer of so many bytes.
    case entries(Int, room: Int)
    case space(Path)

    case getXattr(Target, name: [UInt8], room: Int)
    case setXattr(Target, name: [UInt8], [UInt8], flags: Int32)
    case listXattr(Target, room: Int)
    case removeXattr(Target, name: [UInt8])

    /// mmap(2), a copy, munmap(2); the offset is a multiple of a page. What is past the end of the file is left out.
    case mapRead(Int, Int, at: Int64, isPrivate: Bool)
    case mapWrite(Int, [UInt8], at: Int64, isPrivate: Bool)
    case listen(Path)
    case connect(Path)
    case execute(Path)
    case ioctl(Int, UInt)
}

/// What a call returned.
package enum Returned: Equatable, Sendable {
    /// 0, a count, an offset, a descriptor, a umask.
    case number(Int64)
    case bytes([UInt8])
    case status(Status)
    case entries([Entry])
    case space(Space)
    /// An error number, errno(3).
    case failed(Int32)
}

/// A world that takes system calls.
package protocol SystemCalls: AnyObject {
    func perform(_ call: Call, as user: User) -> Returned
    /// Lets at least one step of the clock that stamps files pass.
    func tick()
    /// Makes a directory that everybody may use, and lets paths start there. Descriptors that are left open are closed.
    func enter(_ name: String) throws(Failure)
    /// Leaves the directory and removes it with all it holds.
    func leave()
    /// Lets paths start in a directory that another world of the same tree made; and leaves it to that one.
    func join(_ name: String) throws(Failure)
    func part()
}

/// Why a case failed, or could not run.
package struct Failure: Error, CustomStringConvertible {
    package var description: String
    package init(_ description: String) { self.description = description }
}
