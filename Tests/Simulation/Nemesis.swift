import Daemon
import Metadata
package import Runtime
package import TestSupport

/// Carries out a fault script, and ends every fault. Faults of one machine may overlap: it is up again when the last one that keeps it down has ended.
@LoopActor
package final class Nemesis {
    private let world: SimulatedWorld
    private let random: SeededRandom
    package let clients: [ClientSlot]
    private var down: [Int]
    private var frozen: [Int]
    private var full: [Int]
    private var slowDisks: [Int]
    private var failing: [Int: [Int]] = [:]
    private var failingSyncs: [Int]
    private var cuts: [LinkEnds: Int] = [:]
    private var slowLinks: [LinkEnds: Int] = [:]
    private var lossy = 0
    private var isOver = false
    /// Bits of blocks were flipped.
    package private(set) var hasRotted = false
    /// Faults that did something.
    package private(set) var count = 0

    package init(_ world: SimulatedWorld, _ clients: [ClientSlot], random: SeededRandom) {
        self.world = world
        self.clients = clients
        self.random = random
        let none = [Int](repeating: 0, count: world.machines.count)
        down = none
        frozen = none
        full = none
        slowDisks = none
        failingSyncs = none
    }

    /// Plans all of a script from now on.
    package func plan(_ script: FaultScript) {
        for event in script.events {
            _ = world.time.schedule(after: UInt64(event.start) * Nanoseconds.millisecond) { [weak self] in self?.begin(event) }
        }
    }

    private func begin(_ event: FaultScript.Event) {
        guard !isOver, isPossible(event.fault) else { return }
        count += 1
        note("begins \(event.fault.words.joined(separator: " "))")
        let end = inject(event.fault, duration: UInt64(event.duration) * Nanoseconds.millisecond)
        guard let end else { return }
        _ = world.time.schedule(after: UInt64(event.duration) * Nanoseconds.millisecond) { [weak self] in
            guard let self, !isOver else { return }
            note("ends \(event.fault.words.joined(separator: " "))")
            end()
        }
    }

    private func note(_ text: String) { world.trace.add(world.time.now, "fault", text) }

    /// A script made for a larger world names machines that are not there.
    private func isPossible(_ fault: Fault) -> Bool {
        let machines = 1...world.machines.count
        switch fault {
        case .killClient(let client), .freezeClient(let client): return (1...max(1, clients.count)).contains(client) && !clients.isEmpty
        case .cut(let one, let other), .cutOneWay(let one, let other), .slow(let one, let other, _), .reset(let one, let other, _):
            return machines.contains(one) && machines.contains(other) && one != other
        case .killAll, .killLeader, .powerAll, .freezeLeader, .lossy: return true
        case .kill(let machine), .power(let machine), .freeze(let machine), .restart(let machine), .isolate(let machine), .deafen(let machine),
            .silence(let machine), .split(let machine), .slowDisk(let machine, _), .fullDisk(let machine, _), .failingDisk(let machine, _),
            .failingSync(let machine), .rotBlocks(let machine, _), .rotLog(let machine), .wipeBlocks(let machine), .wipeMetadata(let machine),
            .clock(let machine, _):
            return machines.contains(machine)
        }
    }

    private func machine(_ number: Int) -> SimulatedMachine { world.machines[number - 1] }

    private var leader: Int? {
        world.machines.firstIndex { $0.daemon?.process.isDead == false && $0.daemon?.services?.metadata.isServing == true }.map { $0 + 1 }
    }

    /// - Returns: what ends the fault; nil if it is over already.
    private func inject(_ fault: Fault, duration: UInt64) -> (@LoopActor () -> Void)? {
        switch fault {
        case .kill(let number): return kill([number])
        case .killAll: return kill(Array(1...world.machines.count))
        case .killLeader: return leader.flatMap { kill([$0]) }
        case .killClient(let number):
            clients[number - 1].takeDown()
            return { self.clients[number - 1].bringUp() }
        case .power(let number): return power([number])
        case .powerAll: return power(Array(1...world.machines.count))
        case .freeze(let number): return freeze(number)
        case .freezeLeader: return leader.flatMap { freeze($0) }
        case .freezeClient(let number):
            clients[number - 1].freeze()
            return { self.clients[number - 1].thaw() }
        case .restart(let number): return restart(number)
        case .cut, .cutOneWay, .isolate, .deafen, .silence, .split: return cut(links(fault))
        case .slow(let one, let other, let factor): return slow(one, other, factor)
        case .lossy(let loss): return lose(loss)
        case .reset(let one, let other, let count):
            for part in 0..<count {
                _ = world.time.schedule(after: duration * UInt64(part) / UInt64(count)) { [world] in
                    world.network.reset(between: "m\(one)", and: "m\(other)")
                }
            }
            return nil
        case .slowDisk(let number, let factor): return slowDisk(number, factor)
        case .fullDisk(let number, let room): return fillDisk(number, room)
        case .failingDisk(let number, let every): return failDisk(number, every)
        case .failingSync(let number): return failSync(number)
        case .rotBlocks(let number, let bits):
            hasRotted = true
            machine(number).disk.rot(bits: bits, random: random) { $0.contains("/blocks/segments/") }
            return nil
        case .rotLog(let number):
            let end = kill([number])
            machine(number).disk.rot(bits: 1, random: random) { $0.contains("/raft/") }
            return end
        case .wipeBlocks(let number):
            let end = kill([number])
            machine(number).loseBlocks()
            return end
        case .wipeMetadata(let number):
            let end = kill([number])
            machine(number).loseMetadata()
            return end
        case .clock(let number, let seconds):
            machine(number).time.skew = Int64(seconds) * 1_000_000_000
            return nil
        }
    }

    // MARK: Processes

    private func kill(_ numbers: [Int]) -> @LoopActor () -> Void {
        for number in numbers {
            down[number - 1] += 1
            world.kill(machine(number))
        }
        return { self.up(numbers) }
    }

    private func power(_ numbers: [Int]) -> @LoopActor () -> Void {
        let there = clients.filter { slot in numbers.contains { machine($0) === slot.machine } }
        for number in numbers {
            down[number - 1] += 1
            world.powerOff(machine(number))
        }
        for slot in there { slot.takeDown() }
        return {
            self.up(numbers)
            for slot in there { slot.bringUp() }
        }
    }

    private func up(_ numbers: [Int]) {
        for number in numbers {
            down[number - 1] -= 1
            if down[number - 1] == 0 { world.powerOn(machine(number)) }
        }
    }

    private func restart(_ number: Int) -> @LoopActor () -> Void {
        down[number - 1] += 1
        let daemon = machine(number).daemon
        Task { @LoopActor in await daemon?.stop() }
        return {
            // One that could not stop in time is killed, as a service manager does.
            self.world.kill(self.machine(number))
            self.up([number])
        }
    }

    private func freeze(_ number: Int) -> @LoopActor () -> Void {
        frozen[number - 1] += 1
        machine(number).daemon?.process.freeze()
        return {
            self.frozen[number - 1] -= 1
            if self.frozen[number - 1] == 0 { self.machine(number).daemon?.process.thaw() }
        }
    }

    // MARK: Links

    private func links(_ fault: Fault) -> [LinkEnds] {
        let all = Array(1...world.machines.count)
        func between(_ sources: [Int], _ targets: [Int]) -> [LinkEnds] {
            sources.flatMap { source in targets.filter { $0 != source }.map { LinkEnds(source: "m\(source)", target: "m\($0)") } }
        }
        switch fault {
        case .cut(let one, let other): return between([one], [other]) + between([other], [one])
        case .cutOneWay(let one, let other): return between([one], [other])
        case .isolate(let number): return between([number], all) + between(all, [number])
        case .deafen(let number): return between(all, [number])
        case .silence(let number): return between([number], all)
        case .split(let number):
            let low = all.filter { $0 <= number }
            let high = all.filter { $0 > number }
            return between(low, high) + between(high, low)
        default: return []
        }
    }

    private func cut(_ links: [LinkEnds]) -> @LoopActor () -> Void {
        for link in links {
            cuts[link, default: 0] += 1
            world.network.change(from: link.source, to: link.target) { $0.isCut = true }
        }
        return {
            for link in links {
                self.cuts[link, default: 0] -= 1
                if self.cuts[link] == 0 { self.world.network.change(from: link.source, to: link.target) { $0.isCut = false } }
            }
        }
    }

    private func slow(_ one: Int, _ other: Int, _ factor: Int) -> @LoopActor () -> Void {
        let links = [LinkEnds(source: "m\(one)", target: "m\(other)"), LinkEnds(source: "m\(other)", target: "m\(one)")]
        for link in links {
            slowLinks[link, default: 0] += 1
            world.network.change(from: link.source, to: link.target) {
                $0.latencyMin = LinkCondition().latencyMin * UInt64(factor)
                $0.latencyMean = LinkCondition().latencyMean * UInt64(factor)
                $0.rate = max(20_000, LinkCondition().rate / UInt64(factor))
            }
        }
        return {
            for link in links {
                self.slowLinks[link, default: 0] -= 1
                guard self.slowLinks[link] == 0 else { continue }
                self.world.network.change(from: link.source, to: link.target) {
                    $0.latencyMin = LinkCondition().latencyMin
                    $0.latencyMean = LinkCondition().latencyMean
                    $0.rate = LinkCondition().rate
                }
            }
        }
    }

    private func lose(_ loss: Int) -> @LoopActor () -> Void {
        lossy += 1
        setLoss(loss)
        return {
            self.lossy -= 1
            if self.lossy == 0 { self.setLoss(0) }
        }
    }

    private func setLoss(_ loss: Int) {
        for one in world.machines {
            for other in world.machines where one !== other { world.network.change(from: one.name, to: other.name) { $0.loss = loss } }
        }
    }

    // MARK: Disks

    private func slowDisk(_ number: Int, _ factor: Int) -> @LoopActor () -> Void {
        slowDisks[number - 1] += 1
        machine(number).disk.latency?.slowdown = Double(factor)
        return {
            self.slowDisks[number - 1] -= 1
            if self.slowDisks[number - 1] == 0 { self.machine(number).disk.latency?.slowdown = 1 }
        }
    }

    private func fillDisk(_ number: Int, _ room: Int) -> @LoopActor () -> Void {
        full[number - 1] += 1
        let disk = machine(number).disk
        disk.capacity = UInt64(disk.usedBytes + room)
        return {
            self.full[number - 1] -= 1
            if self.full[number - 1] == 0 { disk.capacity = 1 << 40 }
        }
    }

    private func failDisk(_ number: Int, _ every: Int) -> @LoopActor () -> Void {
        failing[number, default: []].append(every)
        armDisk(number)
        return {
            if let index = self.failing[number]?.firstIndex(of: every) { self.failing[number]?.remove(at: index) }
            self.armDisk(number)
            self.replaceProcess(number)
        }
    }

    private func failSync(_ number: Int) -> @LoopActor () -> Void {
        failingSyncs[number - 1] += 1
        armDisk(number)
        return {
            self.failingSyncs[number - 1] -= 1
            self.armDisk(number)
            self.replaceProcess(number)
        }
    }

    private func armDisk(_ number: Int) {
        let every = failing[number] ?? []
        let syncsFail = failingSyncs[number - 1] > 0
        let random = self.random
        guard !every.isEmpty || syncsFail else {
            machine(number).disk.fault = nil
            return
        }
        machine(number).disk.fault = { operation, _ in
            if syncsFail, operation == .sync || operation == .syncDirectory { return .failed }
            return every.contains { random.below($0) == 0 } ? .failed : nil
        }
    }

    /// A disk that failed is trusted again only by a new process, which looks at what is really there.
    private func replaceProcess(_ number: Int) {
        guard down[number - 1] == 0 else { return }
        world.kill(machine(number))
        world.start(machine(number))
    }

    // MARK: The end

    /// Ends everything that has not ended: links, disks, processes.
    package func healAll() {
        note("all faults end")
        isOver = true
        world.network.healAll()
        cuts = [:]
        slowLinks = [:]
        for (index, machine) in world.machines.enumerated() {
            machine.disk.latency?.slowdown = 1
            machine.disk.capacity = 1 << 40
            machine.disk.fault = nil
            machine.daemon?.process.thaw()
            // A store that saw its disk fail is trusted again only in a new process.
            let hasFailed = machine.daemon?.failure != nil || failingSyncs[index] > 0 || failing[index + 1]?.isEmpty == false
            if down[index] > 0 || hasFailed || machine.daemon?.process.isDead != false {
                world.kill(machine)
                world.powerOn(machine)
            }
        }
        for slot in clients { slot.healed() }
    }
}
