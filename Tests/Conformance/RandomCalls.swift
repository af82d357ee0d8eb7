import Glibc

/// Draws operations on few names, so that they collide.
struct RandomCalls {
    private var random: Generator
    private let usesPipes: Bool
    private let usesMappings: Bool
    /// What is open through each side.
    private var open: [Set<Int>]
    private var directories: [Set<Int>]
    private var counter: UInt8 = 0

    private static let names = ["a", "b", "c", "d", "e"]
    private static let users: [User] = [.root, .root, .root, .alice, .alice, .bob, .carol]
    private static let openMax = 10

    init(seed: UInt64, sides: Int, usesPipes: Bool, usesMappings: Bool) {
        random = Generator(seed: seed)
        self.usesPipes = usesPipes
        self.usesMappings = usesMappings
        open = Array(repeating: [], count: sides)
        directories = open
    }

    /// Which side, who, what.
    mutating func next() -> (Int, User, Call) {
        let side = random.below(open.count)
        let user = random.pick(Self.users)
        if open[side].count > Self.openMax { return (side, user, .close(descriptor(side))) }
        let call = self.call(side)
        // Offsets in directories mean something else on each filesystem, but for the start.
        switch call {
        case .seek(let number, _, _) where directories[side].contains(number): return (side, user, .seek(number, 0, SEEK_SET))
        case .read(let number, _) where directories[side].contains(number): return (side, user, .entries(number, room: 32768))
        default: return (side, user, call)
        }
    }

    /// What an operation opened or closed.
    mutating func learn(_ side: Int, _ call: Call, _ answer: Returned, isDirectory: (Int) -> Bool) {
        switch (call, answer) {
        case (.open, .number(let number)), (.duplicate, .number(let number)):
            open[side].insert(Int(number))
            if isDirectory(Int(number)) { directories[side].insert(Int(number)) }
        case (.close(let number), _):
            open[side].remove(number)
            directories[side].remove(number)
        default: break
        }
    }

    private mutating func path() -> Path {
        var text = random.pick(Self.names)
        while random.one(in: 3), text.utf8.count < 8 { text = random.pick(Self.names) + "/" + text }
        if random.one(in: 60) { text += random.pick(["/", "/.", "/.."]) }
        if random.one(in: 200) { text = random.pick([".", "..", ""]) }
        return Path(text)
    }

    /// An access control list; now and then a wrong one.
    private mutating func list() -> [UInt8] {
        func drawn(_ subject: String) -> String { subject + ":" + random.pick(["---", "r--", "rw-", "r-x", "rwx", "--x"]) }
        var entries = [drawn("u:")]
        let namesUser = random.one(in: 2)
        let namesGroup = random.one(in: 3)
        if namesUser { entries.append(drawn("u:" + random.pick(["1001", "1002", "1003"]))) }
        entries.append(drawn("g:"))
        if namesGroup { entries.append(drawn("g:" + random.pick(["1001", "1002", "1003"]))) }
        if namesUser || namesGroup || random.one(in: 4), !random.one(in: 20) { entries.append(drawn("m:")) }
        if !random.one(in: 20) { entries.append(drawn("o:")) }
        return AccessList.bytes(entries)
    }

    /// One that is open, most of the time.
    private mutating func descriptor(_ side: Int) -> Int {
        guard !open[side].isEmpty, !random.one(in: 100) else { return random.below(12) }
        return random.pick(open[side].sorted())
    }

    private mutating func target(_ side: Int) -> Target {
        switch random.below(4) {
        case 0: .descriptor(descriptor(side))
        case 1: .link(path())
        default: .path(path())
        }
    }

    private mutating func offset() -> Int64 {
        switch random.below(12) {
        case 0: 0
        case 1: Int64(random.below(3_000_000))
        case 2: Int64(random.below(40)) * 4096
        default: Int64(random.below(20_000))
        }
    }

    private mutating func count() -> Int { random.one(in: 20) ? random.below(200_000) : random.one(in: 3) ? random.below(10_000) : random.below(300) }

    private mutating func content() -> [UInt8] {
        counter &+= 1
        let first = counter
        let step = UInt8(truncatingIfNeeded: random.next() | 1)
        return (0..<count()).map { first &+ UInt8(truncatingIfNeeded: $0) &* step &+ UInt8(truncatingIfNeeded: $0 >> 8) }
    }

    private mutating func mode() -> UInt32 {
        switch random.below(8) {
        case 0: 0o700
        case 1: 0o644
        case 2: UInt32(random.below(0o1000))
        case 3: UInt32(random.below(0o10000))
        default: 0o777
        }
    }

    private mutating func time() -> Time {
        switch random.below(5) {
        case 0: .omit
        case 1: .now
        default: Time(Int64(random.below(1_200_000_000)) - 1000, Int64(random.below(1_000_000_000)))
        }
    }

    private mutating func openFlags() -> Int32 {
        // Non-blocking for fifos.
        var flags = random.pick([O_RDONLY, O_WRONLY, O_RDWR, O_RDWR]) | O_NONBLOCK
        if random.one(in: 2) { flags |= O_CREAT }
        if random.one(in: 8) { flags |= O_EXCL }
        if random.one(in: 6) { flags |= O_TRUNC }
        if random.one(in: 5) { flags |= O_APPEND }
        if random.one(in: 20) { flags |= Flags.noFollow }
        if random.one(in: 30) { flags |= O_SYNC }
        // Together with O_CREAT it is refused by new kernels and was odd in old ones.
        if random.one(in: 20), flags & O_CREAT == 0 { flags |= Flags.directory }
        return flags
    }

    private mutating func xattrName() -> [UInt8] {
        if random.one(in: 4) { return random.one(in: 2) ? AccessList.accessName : AccessList.defaultName }
        return Array(random.pick(["user.a", "user.b", "user.c", "trusted.a", "security.a", "nothing.a", "user.a"]).utf8)
    }

    private mutating func call(_ side: Int) -> Call {
        switch random.below(104) {
        case 0 where random.one(in: 2):
            return .open(path(), flags: Flags.temporary | O_RDWR | (random.one(in: 4) ? O_EXCL : 0), mode: mode())
        case 0..<14: return .open(path(), flags: openFlags(), mode: mode())
        case 14..<19: return .close(descriptor(side))
        case 19..<24: return .write(descriptor(side), content())
        case 24..<31: return .pwrite(descriptor(side), content(), at: offset())
        case 31..<35: return .read(descriptor(side), count())
        case 35..<42: return .pread(descriptor(side), count(), at: offset())
        case 42..<45: return .seek(descriptor(side), offset() - (random.one(in: 4) ? 10_000 : 0), random.pick([SEEK_SET, SEEK_CUR, SEEK_END]))
        case 45..<47: return .truncate(.path(path()), offset())
        case 47..<50: return .truncate(.descriptor(descriptor(side)), offset())
        case 50..<52:
            return .allocate(
                descriptor(side),
                mode: random.pick([0, Flags.keepSize, Flags.punchHole | Flags.keepSize, Flags.zeroRange, Flags.zeroRange | Flags.keepSize]),
                offset: offset(), length: Int64(count()))
        case 52..<55: return .makeDirectory(path(), mode())
        case 55..<57: return .removeDirectory(path())
        case 57..<61: return .unlink(path())
        case 61..<66: return .rename(path(), path(), flags: random.pick([0, 0, 0, 0, Flags.noReplace, Flags.exchange]))
        case 66 where random.one(in: 2): return .linkDescriptor(descriptor(side), path())
        case 66..<69: return .link(path(), path(), follow: random.one(in: 5))
        case 69..<70: return .symlink(Array(random.pick(["a", "b", "c/d", "../a", ".", "d", "nowhere"]).utf8), path())
        case 70..<71: return .readLink(path())
        case 71..<72:
            return .makeNode(path(), mode: random.pick([Flags.socket, usesPipes ? Flags.fifo : Flags.socket, Flags.file]) | mode(), device: 0)
        case 72..<78: return .status(target(side))
        case 78..<81: return .chmod(random.one(in: 3) ? .descriptor(descriptor(side)) : .path(path()), mode())
        case 81..<83:
            let (uid, gid) = (random.pick([0, 1001, 1002, 1003] as [UInt32]), random.pick([0, 1001, 1002, 1003] as [UInt32]))
            // Not both left alone: FUSE and others differ in whether that takes a set-gid bit away that has no meaning.
            let changesOwner = random.one(in: 2)
            return .chown(target(side), changesOwner ? uid : nil, changesOwner && random.one(in: 2) ? nil : gid)
        case 83..<86: return .setTimes(target(side), random.one(in: 5) ? nil : (time(), time()))
        case 86..<88: return .access(path(), random.pick([F_OK, Int32(R_OK), Int32(W_OK), Int32(X_OK), Int32(R_OK | W_OK)]))
        case 88..<89: return random.one(in: 4) ? .umask(random.pick([0, 0o022, 0o077, 0o002])) : .sync(descriptor(side), dataOnly: random.one(in: 2))
        case 89..<91: return .entries(descriptor(side), room: 32768)
        case 91..<93 where random.one(in: 3):
            return .setXattr(target(side), name: random.one(in: 2) ? AccessList.accessName : AccessList.defaultName, list(), flags: 0)
        case 91..<93: return .setXattr(target(side), name: xattrName(), Array(content().prefix(80)), flags: random.pick([0, 0, 0, 1, 2]))
        case 93..<95: return .getXattr(target(side), name: xattrName(), room: random.pick([0, 10, 100]))
        case 95..<96: return .listXattr(target(side), room: 1000)
        case 96..<97: return .removeXattr(target(side), name: xattrName())
        case 97..<98: return .duplicate(descriptor(side))
        case 98..<100 where usesMappings: return .mapRead(descriptor(side), count(), at: offset() / 4096 * 4096, isPrivate: random.one(in: 3))
        case 100..<102 where usesMappings: return .mapWrite(descriptor(side), content(), at: offset() / 4096 * 4096, isPrivate: random.one(in: 4))
        default:
            return .copyRange(
                descriptor(side), random.one(in: 3) ? nil : offset(), descriptor(side), random.one(in: 3) ? nil : offset(), count(), flags: 0)
        }
    }
}
