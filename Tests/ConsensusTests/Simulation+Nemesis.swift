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
            if let configuration = withFormerVoter(server) { return try step(server, .changeConfiguration(configuration, token: token)) }
            calmProposals.insert(token)
            return try step(server, .propose([1] + bytes(token), token: token))
        }
        switch random.next(below: 100) {
        case 0..<45: try step(server, .propose([0] + bytes(token), token: token))
        case 45..<75:
            reads[token] = history.commitIndex
            try step(server, .read(token: token))
        case 75..<85:
            // To shrink the group while a disk is lost would be to lose two.
            guard let configuration = loss == nil ? changed(servers[server].raft.configuration) : withFormerVoter(server) else { return }
            try step(server, .changeConfiguration(configuration, token: token))
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
            let isMember = configuration.voters.contains(server) || configuration.learners.contains(server)
            switch random.next(below: 5) {
            case 0...2: if isMember { voters.append(server) } else { learners.append(server) }
            case 3: if isMember { learners.append(server) } else { voters.append(server) }
            default: break
            }
        } while chance(50)
        return Configuration(voters: voters, learners: learners)
    }

    /// What a daemon does with a learner when there are too few voters.
    private func withFormerVoter(_ server: Int) -> Configuration? {
        guard let loss else { return nil }
        let id = servers[loss.server].id
        let configuration = servers[server].raft.configuration
        guard configuration.learners.contains(id) else { return nil }
        return Configuration(voters: configuration.voters + [id], learners: configuration.learners.filter { $0 != id })
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
        for number in servers.indices where chance(200) { servers[number].copy = servers[number].disk }
        if diskLossRate > 0, chance(diskLossRate), lose(server) { return }
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

    // MARK: Lost disks

    /// Takes a server's disk away, or puts an old copy of it in place.
    ///
    /// - Returns: false if the group may not lose this one now.
    private mutating func lose(_ candidate: Int) -> Bool {
        guard loss == nil, let group = settledGroup, group.voters.count > 2 else { return false }
        let backward = servers.indices.first { group.voters.contains(servers[$0].id) && canGoBack($0, in: group) }
        let server = backward ?? candidate
        guard group.voters.contains(servers[server].id) else { return false }
        let disk = servers[server].disk
        let isRollback = backward != nil
        if isRollback, var copy = servers[server].copy {
            copy.hardState = disk.hardState
            crash(server)
            servers[server].disk = copy
            counts.rollbacks += 1
        } else {
            crash(server)
            servers[server].disk = SimulatedDisk(snapshot: SnapshotMark(index: 0, term: 0, configuration: .unknown))
            counts.wipes += 1
        }
        loss = Loss(server: server, disk: disk, last: disk.lastIndex)
        note("\(servers[server].id.rawValue) \(isRollback ? "is rolled back" : "is wiped")")
        return true
    }

    /// The configuration that is committed and the last one in every log; nil while it changes.
    private var settledGroup: Configuration? {
        guard let leader = servers.filter({ $0.isUp && $0.raft.role == .leader }).max(by: { $0.raft.term < $1.raft.term })?.raft,
            leader.configurationIndex <= leader.commitIndex
        else { return nil }
        let group = leader.configuration
        let members = servers.filter { group.voters.contains($0.id) }
        return members.allSatisfy { $0.isUp && $0.raft.configuration == group && $0.raft.standing == .trusted } ? group : nil
    }

    /// An older disk breaks promises until somebody notices, and some breaches nobody can notice. Those that harm nothing are left: term and vote are
    /// kept, and whatever was acknowledged and is missing is committed and on the disks of a majority of the others.
    private func canGoBack(_ server: Int, in group: Configuration) -> Bool {
        let disk = servers[server].disk
        guard let copy = servers[server].copy, copy.pending.isEmpty, disk.pending.isEmpty, copy.lastIndex > 0, copy.lastIndex < disk.lastIndex,
            disk.lastIndex <= history.commitIndex
        else { return false }
        let others = group.voters.map { Int($0.rawValue) - 1 }.filter { $0 != server }
        return (copy.lastIndex...disk.lastIndex).allSatisfy { index in
            let entry = history.committed[Int(index) - 1].entry
            return others.count { servers[$0].disk.holds(entry) } > group.voters.count / 2
        }
    }

    /// The server has again what it had, and votes.
    mutating func endLoss(_ stepped: Int) {
        guard let loss, stepped == loss.server, servers[stepped].isUp else { return }
        let raft = servers[stepped].raft
        guard raft.standing == .trusted, servers[stepped].disk.hardState.standing == .trusted, raft.isVoter, raft.stableIndex >= loss.last,
            raft.configurationIndex <= raft.commitIndex, raft.commitIndex >= loss.last
        else { return }
        counts.returned += 1
        self.loss = nil
        note("\(servers[stepped].id.rawValue) has what it had")
    }

    private mutating func freeze(_ server: Int) {
        servers[server].frozenUntil = now + random.next(below: 2000) * Self.millisecond
        note("\(servers[server].id.rawValue) freezes until \(servers[server].frozenUntil / Self.millisecond) ms")
    }
}
