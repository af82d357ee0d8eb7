/// Something that goes wrong in a simulated world, and what ends it. Machines are numbered from 1, clients too.
package enum Fault: Equatable, Sendable {
    /// kill -9 of a daemon, started again at the end.
    case kill(Int)
    case killAll
    /// The daemon that leads the metadata service at that moment.
    case killLeader
    /// kill -9 of a client; a new one is mounted at the end.
    case killClient(Int)
    /// Power loss of a machine with its daemon and client; it boots at the end.
    case power(Int)
    case powerAll
    /// SIGSTOP of a daemon, SIGCONT at the end.
    case freeze(Int)
    case freezeLeader
    case freezeClient(Int)
    /// An orderly stop of a daemon, started again at the end.
    case restart(Int)
    /// Nothing gets through between two machines.
    case cut(Int, Int)
    /// Nothing gets through from the first to the second machine.
    case cutOneWay(Int, Int)
    /// A machine is cut off from all others.
    case isolate(Int)
    /// Nothing reaches a machine, but it is heard.
    case deafen(Int)
    /// A machine is not heard, but hears.
    case silence(Int)
    /// The machines up to this one are cut off from those after it.
    case split(Int)
    /// All pieces between two machines take longer, by this factor, and less goes through.
    case slow(Int, Int, factor: Int)
    /// So many of 10,000 pieces anywhere are lost once or more.
    case lossy(Int)
    /// So many streams between two machines are reset, spread over the time until the end.
    case reset(Int, Int, count: Int)
    /// A disk that takes so many times as long.
    case slowDisk(Int, factor: Int)
    /// A disk with room for so many more bytes.
    case fullDisk(Int, room: Int)
    /// One of so many disk operations fails; the daemon is killed and started again at the end.
    case failingDisk(Int, every: Int)
    /// Every sync of a disk fails and forgets what it should have written; the daemon is killed and started again at the end.
    case failingSync(Int)
    /// So many bits of a machine's block segments flip.
    case rotBlocks(Int, bits: Int)
    /// One bit of a machine's metadata log flips, while it is down until the end.
    case rotLog(Int)
    /// A machine's blocks are gone when it comes back at the end.
    case wipeBlocks(Int)
    /// A machine's metadata is gone when it comes back at the end.
    case wipeMetadata(Int)
    /// The wall clock of a machine is off by so many seconds from now on.
    case clock(Int, seconds: Int)

    /// Whether it destroys what was durable on a machine: no more than one such machine in a run, since R = 3 with quorums of 2 promises to survive the loss of one.
    package var victim: Int? {
        switch self {
        case .rotBlocks(let machine, _), .rotLog(let machine), .wipeBlocks(let machine), .wipeMetadata(let machine): machine
        default: nil
        }
    }

    /// Words for a script: a name and numbers.
    package var words: [String] {
        switch self {
        case .kill(let machine): ["kill", "\(machine)"]
        case .killAll: ["kill-all"]
        case .killLeader: ["kill-leader"]
        case .killClient(let client): ["kill-client", "\(client)"]
        case .power(let machine): ["power", "\(machine)"]
        case .powerAll: ["power-all"]
        case .freeze(let machine): ["freeze", "\(machine)"]
        case .freezeLeader: ["freeze-leader"]
        case .freezeClient(let client): ["freeze-client", "\(client)"]
        case .restart(let machine): ["restart", "\(machine)"]
        case .cut(let one, let other): ["cut", "\(one)", "\(other)"]
        case .cutOneWay(let one, let other): ["cut-one-way", "\(one)", "\(other)"]
        case .isolate(let machine): ["isolate", "\(machine)"]
        case .deafen(let machine): ["deafen", "\(machine)"]
        case .silence(let machine): ["silence", "\(machine)"]
        case .split(let machine): ["split", "\(machine)"]
        case .slow(let one, let other, let factor): ["slow", "\(one)", "\(other)", "\(factor)"]
        case .lossy(let loss): ["lossy", "\(loss)"]
        case .reset(let one, let other, let count): ["reset", "\(one)", "\(other)", "\(count)"]
        case .slowDisk(let machine, let factor): ["slow-disk", "\(machine)", "\(factor)"]
        case .fullDisk(let machine, let room): ["full-disk", "\(machine)", "\(room)"]
        case .failingDisk(let machine, let every): ["failing-disk", "\(machine)", "\(every)"]
        case .failingSync(let machine): ["failing-sync", "\(machine)"]
        case .rotBlocks(let machine, let bits): ["rot-blocks", "\(machine)", "\(bits)"]
        case .rotLog(let machine): ["rot-log", "\(machine)"]
        case .wipeBlocks(let machine): ["wipe-blocks", "\(machine)"]
        case .wipeMetadata(let machine): ["wipe-metadata", "\(machine)"]
        case .clock(let machine, let seconds): ["clock", "\(machine)", "\(seconds)"]
        }
    }

    /// Reads `words`; nil if they are none of a fault.
    package init?(_ words: [String]) {
        guard let name = words.first else { return nil }
        let numbers = words.dropFirst().compactMap { Int($0) }
        guard numbers.count == words.count - 1 else { return nil }
        switch (name, numbers.count) {
        case ("kill", 1): self = .kill(numbers[0])
        case ("kill-all", 0): self = .killAll
        case ("kill-leader", 0): self = .killLeader
        case ("kill-client", 1): self = .killClient(numbers[0])
        case ("power", 1): self = .power(numbers[0])
        case ("power-all", 0): self = .powerAll
        case ("freeze", 1): self = .freeze(numbers[0])
        case ("freeze-leader", 0): self = .freezeLeader
        case ("freeze-client", 1): self = .freezeClient(numbers[0])
        case ("restart", 1): self = .restart(numbers[0])
        case ("cut", 2): self = .cut(numbers[0], numbers[1])
        case ("cut-one-way", 2): self = .cutOneWay(numbers[0], numbers[1])
        case ("isolate", 1): self = .isolate(numbers[0])
        case ("deafen", 1): self = .deafen(numbers[0])
        case ("silence", 1): self = .silence(numbers[0])
        case ("split", 1): self = .split(numbers[0])
        case ("slow", 3): self = .slow(numbers[0], numbers[1], factor: numbers[2])
        case ("lossy", 1): self = .lossy(numbers[0])
        case ("reset", 3): self = .reset(numbers[0], numbers[1], count: numbers[2])
        case ("slow-disk", 2): self = .slowDisk(numbers[0], factor: numbers[1])
        case ("full-disk", 2): self = .fullDisk(numbers[0], room: numbers[1])
        case ("failing-disk", 2): self = .failingDisk(numbers[0], every: numbers[1])
        case ("failing-sync", 1): self = .failingSync(numbers[0])
        case ("rot-blocks", 2): self = .rotBlocks(numbers[0], bits: numbers[1])
        case ("rot-log", 1): self = .rotLog(numbers[0])
        case ("wipe-blocks", 1): self = .wipeBlocks(numbers[0])
        case ("wipe-metadata", 1): self = .wipeMetadata(numbers[0])
        case ("clock", 2): self = .clock(numbers[0], seconds: numbers[1])
        default: return nil
        }
    }
}
