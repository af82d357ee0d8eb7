import Bytes
import Consensus
import Model
import Namespace
import Runtime
import Transport

// Proposals: from commands to entries of the log and back to outcomes.
extension MetadataServer {
    /// Puts a command into the next entry.
    func propose(_ command: PendingCommand) {
        command.isProposed = true
        command.proposal.time = environment.clock.wallTime
        pending.append(command)
        flushProposals()
    }

    /// Proposes a command of the service itself and waits for its outcome.
    func propose(_ command: Command) async throws(TransportError) -> Outcome {
        guard leadership != nil else { throw Refusal.notLeader(leader).error }
        let item = PendingCommand(
            proposal: Proposal(session: nil, sequence: 0, acknowledgedBelow: 0, time: 0, command: command), session: nil)
        propose(item)
        return try await item.wait().outcome
    }

    /// While few entries are out, whatever waits goes into the next one.
    func flushProposals() {
        while pendingStart < pending.count, batches.count < options.entriesInFlight, leadership != nil {
            var writer = ByteWriter(reserving: 1024)
            var commands: [PendingCommand] = []
            writer.integer(UInt32(0))
            while pendingStart < pending.count, commands.count < options.batchCommands, commands.isEmpty || writer.count < options.batchBytes {
                let command = pending[pendingStart]
                pendingStart += 1
                command.proposal.encode(to: &writer)
                commands.append(command)
            }
            writer.patch(UInt32(commands.count), at: 0)
            let token = nextToken
            nextToken += 1
            batches[token] = commands
            step(.propose(writer.bytes, token: token))
        }
        if pendingStart == pending.count {
            pending.removeAll(keepingCapacity: true)
            pendingStart = 0
        } else if pendingStart > 4096 {
            pending.removeFirst(pendingStart)
            pendingStart = 0
        }
    }

    func decodeProposals(_ bytes: [UInt8]) -> [Proposal]? {
        bytes.withUnsafeBytes { raw in
            do throws(DecodeError) {
                var reader = ByteReader(raw)
                let result = try reader.array(max: 1 << 20) { inner throws(DecodeError) in try Proposal(from: &inner) }
                try reader.finish()
                return result
            } catch {
                return nil
            }
        }
    }

    func proposalAccepted(_ token: UInt64, _ index: LogIndex, _ term: Term) {
        if let waiter = changeWaiters.removeValue(forKey: token) {
            waiter.resume(returning: .success(index))
            return
        }
        accepted[index] = (term, token)
    }

    func refused(_ token: UInt64, _ leader: NodeID?) {
        if token == read.token {
            readRefused()
        } else if let waiter = changeWaiters.removeValue(forKey: token) {
            let cause = leadership == nil ? "this server does not lead" : "another change of the group is under way, or too much waits"
            waiter.resume(returning: .failure(MetadataServerError(leadership == nil ? .notLeader : .refused, cause)))
        } else if let commands = batches.removeValue(forKey: token) {
            fail(commands, leadership == nil ? .notLeader(leader) : .busy)
        }
    }

    func fail(_ commands: [PendingCommand], _ refusal: Refusal) {
        for command in commands { settle(command, .failure(refusal.error)) }
    }

    // MARK: Reads

    /// Returns when the state contains everything that was committed before the call. While the leader's lease lasts, this does not suspend.
    func barrier() async throws(TransportError) {
        guard leadership != nil else { throw Refusal.notLeader(leader).error }
        var index: LogIndex?
        if read.token == 0 {
            ask()
            if read.token == 0 {
                index = read.answer
            } else {
                index = await withUnsafeContinuation { read.asked.append($0) }
            }
        } else {
            index = await withUnsafeContinuation { read.gathering.append($0) }
        }
        guard let index else { throw Refusal.notLeader(leader).error }
        while namespace.appliedIndex < index {
            guard leadership != nil else { throw Refusal.notLeader(leader).error }
            await withUnsafeContinuation { appliedWaiters.append(AppliedWaiter(index: index, continuation: $0)) }
        }
    }

    private func ask() {
        read.token = nextToken
        read.answer = nil
        nextToken += 1
        step(.read(token: read.token))
    }

    func readable(_ token: UInt64, _ index: LogIndex) {
        guard token == read.token else { return }
        finishRead(index)
    }

    func readRefused() { finishRead(nil) }

    private func finishRead(_ index: LogIndex?) {
        read.token = 0
        read.answer = index
        let waiters = read.asked
        read.asked = []
        for waiter in waiters { waiter.resume(returning: index) }
        guard !read.gathering.isEmpty else { return }
        // Not swapped: two accesses to one property of an object at the same time are a trap.
        read.asked = read.gathering
        read.gathering = []
        if index == nil || leadership == nil {
            let waiters = read.asked
            read.asked = []
            for waiter in waiters { waiter.resume(returning: nil) }
        } else {
            ask()
        }
    }

    func abandonReads() {
        let waiters = read.asked + read.gathering
        read = ReadBarrier()
        for waiter in waiters { waiter.resume(returning: nil) }
    }

    func wakeApplied() {
        guard !appliedWaiters.isEmpty else { return }
        let applied = namespace.appliedIndex
        appliedWaiters.removeAll { waiter in
            guard waiter.index <= applied || leadership == nil else { return false }
            waiter.continuation.resume()
            return true
        }
    }
}
