import Runtime
package import TestSupport

/// Which faults happen when: made from a seed, or read from a file, and made shorter when one is sought that still does harm.
///
/// As text, one line each: `12.345 +3.2 cut 1 2` is a cut between the machines 1 and 2 that begins at 12.345 s and lasts 3.2 s. The first line names
/// the format and its version.
package struct FaultScript: Equatable, Sendable {
    /// One fault and its time, in milliseconds from the beginning of the faults.
    package struct Event: Equatable, Sendable {
        package var start: Int
        package var duration: Int
        package var fault: Fault

        package init(start: Int, duration: Int, fault: Fault) {
            self.start = start
            self.duration = duration
            self.fault = fault
        }
    }

    package var events: [Event]

    package init(_ events: [Event]) { self.events = events }

    // MARK: Text

    private static let header = "dhtfs-faults 1"

    package var text: String {
        var lines = [Self.header]
        for event in events {
            lines.append("\(Self.seconds(event.start)) +\(Self.seconds(event.duration)) \(event.fault.words.joined(separator: " "))")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Reads `text`.
    /// - Throws: one line that says what is wrong with it.
    package init(text: String) throws(FaultScriptError) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard lines.first == Self.header else {
            throw FaultScriptError(cause: "this is not a fault script of version 1: it must begin with the line '\(Self.header)'")
        }
        events = []
        for (index, line) in lines.enumerated().dropFirst() where !line.isEmpty && !line.hasPrefix("#") {
            let words = line.split(separator: " ").map(String.init)
            guard words.count >= 3, words[1].hasPrefix("+"), let start = Self.milliseconds(words[0]),
                let duration = Self.milliseconds(String(words[1].dropFirst())), let fault = Fault(Array(words[2...]))
            else { throw FaultScriptError(cause: "line \(index + 1) is no fault: \(line)") }
            events.append(Event(start: start, duration: duration, fault: fault))
        }
    }

    private static func seconds(_ milliseconds: Int) -> String {
        let fraction = String(milliseconds % 1000)
        return "\(milliseconds / 1000)." + String(repeating: "0", count: 3 - fraction.count) + fraction
    }

    private static func milliseconds(_ text: String) -> Int? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[1].count == 3, let seconds = UInt32(parts[0]), let rest = UInt32(parts[1]) else { return nil }
        return Int(seconds) * 1000 + Int(rest)
    }
}

package struct FaultScriptError: Error {
    package var cause: String
}

// MARK: Making

extension FaultScript {
    /// Draws faults for a run.
    /// - Parameters:
    ///   - milliseconds: during which faults begin and end.
    ///   - isSwarm: each seed draws which kinds of faults it has and how many (swarm testing: Groce et al., ISSTA 2012); otherwise all kinds, evenly.
    @LoopActor
    package static func draw(_ random: SeededRandom, nodes: Int, clients: Int, milliseconds: Int, isSwarm: Bool) -> FaultScript {
        var kinds = Array(0..<kindCount)
        var count = max(1, milliseconds / 4000)
        if isSwarm {
            let chosen = 1 + random.below(6)
            kinds = (0..<chosen).map { _ in random.below(kindCount) }
            count = 1 + random.below(max(2, milliseconds / 1500))
        }
        let victim = 1 + random.below(nodes)
        var events: [Event] = []
        for _ in 0..<count {
            let start = random.below(milliseconds)
            // Short blips and outages longer than every timeout.
            let longest = [50, 500, 3000, 12_000, 30_000][random.below(5)]
            let duration = min(1 + random.below(longest), milliseconds - start)
            let one = 1 + random.below(nodes)
            var other = 1 + random.below(nodes - 1)
            if other >= one { other += 1 }
            let kind = kinds[random.below(kinds.count)]
            let fault = draw(kind, random, one, other, client: 1 + random.below(max(1, clients)), victim: victim)
            events.append(Event(start: start, duration: duration, fault: fault))
        }
        return FaultScript(events.sorted { ($0.start, $0.duration) < ($1.start, $1.duration) })
    }

    private static let kindCount = 28

    @LoopActor
    private static func draw(_ kind: Int, _ random: SeededRandom, _ one: Int, _ other: Int, client: Int, victim: Int) -> Fault {
        switch kind {
        case 0: .kill(one)
        case 1: .killAll
        case 2: .killLeader
        case 3: .killClient(client)
        case 4: .power(one)
        case 5: .powerAll
        case 6: .freeze(one)
        case 7: .freezeLeader
        case 8: .freezeClient(client)
        case 9: .restart(one)
        case 10: .cut(one, other)
        case 11: .cutOneWay(one, other)
        case 12: .isolate(one)
        case 13: .deafen(one)
        case 14: .silence(one)
        case 15: .split(min(one, other))
        case 16: .slow(one, other, factor: 10 << random.below(8))
        case 17: .lossy(1 + random.below(3000))
        case 18: .reset(one, other, count: 1 + random.below(20))
        case 19: .slowDisk(one, factor: 2 << random.below(9))
        case 20: .fullDisk(one, room: random.below(64 << 10))
        case 21: .failingDisk(one, every: 1 << random.below(10))
        case 22: .failingSync(one)
        case 23: .rotBlocks(victim, bits: 1 + random.below(20))
        case 24: .rotLog(victim)
        case 25: .wipeBlocks(victim)
        case 26: .wipeMetadata(victim)
        default: .clock(one, seconds: random.below(7200) - 3600)
        }
    }
}
