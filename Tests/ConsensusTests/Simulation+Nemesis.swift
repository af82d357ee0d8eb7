import Model

@testable import Consensus

// What clients and the world do to the group.

extension Simulation {
    mutating func client() throws {
        queue.push(.client, at: now + (isCalm ? 200 : 10 + random.next(below: 60)) * Self.millisecond)
        let leaders = servers.indices.filter { servers[$0].isUp && servers[$0].frozenUntil <= now && servers[$0].raft.role == .leader }
        let others = servers.indices.filter { servers[$0].isUp && servers[$0].frozenUntil <= now }
        let candidates = leaders.isEmpty || chance(100) ? others : leaders
        guard !candidates.isEmpty else { return }
        let server = candidates[pick(candidates.count)]
        token += 1
        if isCalm {
            calmProposals.insert(token)
            return try step(server, .propose([1] + bytes(token), token: token))
        }
        switch random.next(below: 100) {
        case 0..<45: try step(server, .propose([0] + bytes(token), token: token))
        case 45..<75:
            reads[token] = history.commitIndex
            try step(server, .read(token: token))
        case 75..<85: try step(server, .changeConfiguration(changed(servers[server].raft.configuration), token: token))
        case 85..<95: try compact(server)
        default: try step(server, .transferLeadership(to: servers[pick(servers.count)].id))
        }
    }

    private func bytes(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }

    /// A configuration that differs in one server, or now and then in any number.
    private mutating func changed(_ configuration: Configuration) -> Configuration {
        var voters = configuration.voters
        var learners = configuration.learners
        repeat {
            let server = servers[pick(servers.count)].id
            voters.removeAll { $0 == server }
            learners.removeAll { $0 == server }
            switch random.next(below: 5) {
            case 0...2: voters.append(server)
            case 3: learners.append(server)
            default: break
            }
        } while chance(50)
        return Configuration(voters: voters, learners: learners)
    }

    private mutating func compact(_ server: Int) throws {
        let applied = servers[server].applied
        let low = servers[server].disk.snapshot.index
        guard applied > low, let mark = servers[server].raft.mark(at: low + 1 + random.next(below: applied - low)) else { return }
        servers[server].disk.compact(to: mark)
        try step(server, .compacted(mark))
    }

    mutating func fault() {
        guard !isCalm else { return }
        queue.push(.fault, at: now + (20 + random.next(below: 250)) * Self.millisecond)
        // Half of the time somebody whose disk is at work.
        let busy = servers.indices.filter { !servers[$0].disk.pending.isEmpty }
        let server = busy.isEmpty || chance(500) ? pick(servers.count) : busy[pick(busy.count)]
        let leader = servers.indices.filter { servers[$0].raft.role == .leader }.max { servers[$0].raft.term < servers[$1].raft.term }
        switch random.next(below: 20) {
        case 0...2: crash(server)
        case 3...5: if let leader { crash(leader) }
        case 6...7: freeze(server)
        case 8...9: if let leader { freeze(leader) }
        case 10...11:
            // Two sides.
            let side = random.next()
            for from in servers.indices {
                for to in servers.indices { cut[from][to] = (side >> UInt64(from)) & 1 != (side >> UInt64(to)) & 1 }
            }
        case 12: for other in servers.indices { cut[server][other] = true }
        case 13: for other in servers.indices { cut[other][server] = true }
        case 14...15:
            if let leader {
                // The leader reaches at most one server.
                let friend = pick(servers.count)
                for other in servers.indices where other != friend { cut[leader][other] = true }
            }
        default:
            for from in servers.indices {
                for to in servers.indices { cut[from][to] = false }
            }
        }
    }

    /// Cuts a new leader off from all but perhaps one server, for a while.
    mutating func upset(_ server: Int) {
        guard !isCalm, chance(upsetRate) else { return }
        let friend = pick(2 * servers.count)
        for other in servers.indices where other != friend { cut[server][other] = true }
        note("\(servers[server].id.rawValue) is cut off from all but \(friend + 1)")
        queue.push(.heal(server), at: now + (100 + random.next(below: 1500)) * Self.millisecond)
    }

    mutating func heal(_ server: Int) {
        for other in servers.indices { cut[server][other] = false }
    }

    private mutating func crash(_ server: Int) {
        guard servers[server].isUp else { return }
        counts.crashes += 1
        let surviving = pick(servers[server].disk.pending.count + 1)
        note("\(servers[server].id.rawValue) crashes; \(surviving) of \(servers[server].disk.pending.count) writes survive")
        servers[server].disk.crash(surviving: surviving)
        servers[server].isUp = false
        servers[server].life += 1
        queue.push(.restart(server), at: now + random.next(below: 700) * Self.millisecond)
    }

    private mutating func freeze(_ server: Int) {
        servers[server].frozenUntil = now + random.next(below: 2000) * Self.millisecond
        note("\(servers[server].id.rawValue) freezes until \(servers[server].frozenUntil / Self.millisecond) ms")
    }
}
