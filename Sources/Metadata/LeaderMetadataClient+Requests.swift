import Bytes
import Model
import Namespace
import Runtime
package import Transport
package import Wire

// Requests over a connection, and what their answers bring.
extension LeaderMetadataClient {
    /// Sends a request with the header of the session before its own fields.
    func call(
        _ kind: RequestKind, over connection: Connection, _ deadline: UInt64, fields: (inout ByteWriter) -> Void
    ) async throws(TransportError) -> (reply: Transport.Message, number: UInt64) {
        let header = RequestHeader(session: session, term: term, released: takeReleases())
        var writer = ByteWriter(reserving: 256)
        header.encode(to: &writer)
        fields(&writer)
        let number = nextRequest
        nextRequest += 1
        let sent = now
        unanswered[number] = sent
        defer {
            unanswered.removeValue(forKey: number)
            if unanswered.isEmpty { forget() }
        }
        do throws(TransportError) {
            let left = deadline > sent ? min(deadline - sent, options.deadline) : 1
            let reply = try await connection.channel.call(kind, Transport.Message(body: writer.bytes), timeout: left)
            answered(connection, sentAt: sent)
            return (reply, number)
        } catch {
            // Not known whether they arrived.
            if !header.released.isEmpty, header.session == session { releases.append(contentsOf: header.released) }
            throw error
        }
    }

    /// An answer of the leader: the session was alive when its request was sent.
    private func answered(_ connection: Connection, sentAt: UInt64) {
        guard connection.generation == generation else { return }
        failures = 0
        if session != LeaseTable.nobody { validUntil = max(validUntil, sentAt &+ timeToLive) }
    }

    private func forget() {
        recalled.removeAll(keepingCapacity: true)
        recallFloor = 0
        released.removeAll(keepingCapacity: true)
        releaseFloor = 0
    }

    // MARK: Grants

    /// Installs leases; called before anything else runs after the answer has arrived.
    /// - Returns: those that count.
    private func install(_ grants: Grants, _ connection: Connection, _ number: UInt64) -> [InodeID] {
        guard connection.generation == generation, number >= releaseFloor, grants.number >= recallFloor else { return [] }
        var result: [InodeID] = []
        result.reserveCapacity(grants.shared.count + grants.exclusive.count)
        func counts(_ inode: InodeID) -> Bool {
            if let recall = recalled[inode], grants.number < recall { return false }
            if let release = released[inode], number < release { return false }
            return true
        }
        for inode in grants.shared where counts(inode) {
            if leases[inode] == nil { leases[inode] = false }
            result.append(inode)
        }
        for inode in grants.exclusive where counts(inode) {
            leases[inode] = true
            result.append(inode)
        }
        return result
    }

    func decode<Value>(
        _ bytes: [UInt8], _ fields: (inout ByteReader) throws(DecodeError) -> Value
    ) throws(TransportError) -> Value {
        let result: Result<Value, DecodeError> = bytes.withUnsafeBytes { raw in
            var reader = ByteReader(raw)
            do throws(DecodeError) {
                let value = try fields(&reader)
                try reader.finish()
                return .success(value)
            } catch {
                return .failure(error)
            }
        }
        switch result {
        case .success(let value): return value
        case .failure(let error): throw TransportError(.malformed, "the leader's answer cannot be decoded: \(error)")
        }
    }

    // MARK: The requests

    func ask(_ query: Query, over connection: Connection, _ deadline: UInt64) async throws(TransportError) -> QueryReply {
        let (reply, number) = try await call(.metadataQuery, over: connection, deadline) { query.encode(to: &$0) }
        let (grants, answer) = try decode(reply.body) { reader throws(DecodeError) in
            (try Grants(from: &reader), try Answer(from: &reader))
        }
        return QueryReply(answer: answer, leased: install(grants, connection, number))
    }

    /// - Returns: nil if the inode is gone.
    func acquire(_ inode: InodeID, over connection: Connection, _ deadline: UInt64) async throws(TransportError) -> Attributes? {
        let (reply, number) = try await call(.metadataLease, over: connection, deadline) { writer in
            writer.optional(inode) { $1.encode(to: &$0) }
        }
        let (grants, attributes) = try decode(reply.body) { reader throws(DecodeError) in
            let grants = try Grants(from: &reader)
            return (grants, try reader.optional { inner throws(DecodeError) in try Attributes(from: &inner) })
        }
        guard let attributes else { return nil }
        guard install(grants, connection, number).contains(inode) else {
            // Recalled or released before it arrived: once more.
            throw Refusal.busy.error
        }
        return attributes
    }

    func scan(after page: ScanPage?, over connection: Connection, _ deadline: UInt64) async throws(TransportError) -> ScanPage {
        var writer = ByteWriter(reserving: 64)
        writer.integer(page?.handle ?? 0)
        writer.bytes(page?.rows.last.map { $0.key + [0] } ?? [])
        let reply = try await connection.channel.call(
            .metadataScan, Transport.Message(body: writer.bytes), timeout: deadline > now ? deadline - now : 1)
        guard let payload = reply.payload else { throw TransportError(.malformed, "a page of a scan has no rows") }
        return try decode(payload.array) { reader throws(DecodeError) in try ScanPage(from: &reader) }
    }

    // MARK: Commands

    /// Whether others wait for what a command flushes. Where one does that was submitted, all that were submitted before it go as well.
    private func isUrgent(_ item: OutgoingCommand) -> Bool {
        item.isSubmitted ? !recalling.isEmpty : item.flushed.contains { recalling[$0] != nil }
    }

    /// Whether a command may go out now: there is room, or others wait for what it flushes.
    func mayBeSent(_ item: OutgoingCommand) -> Bool {
        if isUrgent(item) { return true }
        let lowest = outstanding.first?.sequence ?? item.sequence
        return commandsInFlight < options.window && item.sequence - lowest < Self.sequencesAhead
    }

    /// Sends what may be sent, in order.
    func pump() {
        guard let connection, !unsent.isEmpty else { return }
        if recalling.isEmpty, unsent.allSatisfy(\.isSubmitted) {
            // What nobody waits for goes together, when what went before has come back: one message, one entry of the log and one sync for many.
            if submittedInFlight > 0 { return }
            if !isHastened, unsent.count < Self.gatheredMin { return scheduleGathering() }
        }
        var isFull = false
        unsent.removeAll { item in
            guard item.isOutstanding else { return true }
            if isFull, !isUrgent(item) { return false }
            guard mayBeSent(item) else {
                isFull = true
                return false
            }
            commandsInFlight += 1
            if item.isSubmitted { submittedInFlight += 1 }
            commandsStarting += 1
            Task { @LoopActor in
                self.commandsStarting -= 1
                await self.transmit(item, over: connection)
            }
            return true
        }
        if unsent.isEmpty { isHastened = false }
    }

    private func scheduleGathering() {
        guard !isGathering else { return }
        isGathering = true
        _ = environment.clock.schedule(after: Self.gatheringTime) { [weak self] in
            guard let self else { return }
            self.isGathering = false
            self.hasten()
        }
    }

    /// Sends a command, which counts in `commandsInFlight` already, and takes its outcome.
    func transmit(_ item: OutgoingCommand, over connection: Connection) async {
        let result = await send(item, over: connection)
        commandsInFlight -= 1
        if item.isSubmitted { submittedInFlight -= 1 }
        switch result {
        case .success(.failed(.noSession)) where options.hasSession:
            if connection.generation == generation { sessionLost() }
        case .success(let outcome): finish(item, .success(outcome))
        case .failure(let error):
            do throws(MetadataError) {
                try await recover(from: error, connection, item.deadline)
                if item.generation == connection.generation { putBack(item) }
            } catch {
                if error.code == .unavailable, giveUp(item) { putBack(item) } else { finish(item, .failure(error)) }
            }
        }
        pump()
    }

    private func send(_ item: OutgoingCommand, over connection: Connection) async -> Result<Outcome, TransportError> {
        item.generation = connection.generation
        guard connection.generation == generation, self.connection != nil else {
            return .failure(TransportError(.unreachable, "the connection has ended"))
        }
        let acknowledged = outstanding.first?.sequence ?? item.sequence
        do throws(TransportError) {
            let (reply, number) = try await call(.metadataCommand, over: connection, item.deadline) { writer in
                writer.integer(item.sequence)
                writer.integer(acknowledged)
                writer.optional(item.shown) { writer, shown in writer.integer(shown) }
                item.command.encode(to: &writer)
            }
            let (grants, outcome, isRemembered) = try decode(reply.body) { reader throws(DecodeError) in
                (try Grants(from: &reader), try Outcome(from: &reader), try reader.boolean())
            }
            _ = install(grants, connection, number)
            // Whether the leader still counts as open what it made the first time is not certain; nobody has seen it, so another will do.
            if isRemembered, case .createTemporary = item.command, case .done(let attributes?, _) = outcome {
                release([attributes.inode])
                return .success(.failed(.stale))
            }
            noteOpen(item.command, outcome)
            if isRemembered { onOutdated?(outcome.inodes) }
            return .success(outcome)
        } catch {
            return .failure(error)
        }
    }

    /// Among those that are to be sent, at its place.
    private func putBack(_ item: OutgoingCommand) {
        guard item.isOutstanding, !unsent.contains(where: { $0 === item }) else { return }
        let place = unsent.firstIndex { $0.sequence > item.sequence } ?? unsent.count
        unsent.insert(item, at: place)
    }

    func finish(_ item: OutgoingCommand, _ result: Result<Outcome, MetadataError>) {
        if item.isAbandoned { settle(item, result) }
        item.finish(result)
        if outstanding.first === item {
            var done = 0
            while done < outstanding.count, !outstanding[done].isOutstanding { done += 1 }
            outstanding.removeFirst(done)
        }
    }

    /// Gives commands up that nobody has answered in time.
    func giveUpLate() {
        let now = now
        for item in outstanding where item.deadline <= now && !giveUp(item) { item.finish(.failure(Self.unavailable)) }
        outstanding.removeAll { !$0.isOutstanding }
    }

    /// Tells the caller of a command that nobody has answered. One that may have been received is sent again until its outcome is known: a leader could carry
    /// it out at any time, and what is cached by then would be wrong.
    /// - Returns: false if nobody can have received it, or nobody could tell that it is the same one.
    private func giveUp(_ item: OutgoingCommand) -> Bool {
        guard options.hasSession, item.generation != 0, outstanding.contains(where: { $0 === item }) else { return false }
        guard !item.isAbandoned else { return true }
        item.abandon(Self.unavailable)
        for inode in item.touched { doubtful[inode, default: 0] += 1 }
        return true
    }

    /// What became of an abandoned command is known.
    private func settle(_ item: OutgoingCommand, _ result: Result<Outcome, MetadataError>) {
        for inode in item.touched {
            guard let count = doubtful[inode] else { continue }
            doubtful[inode] = count > 1 ? count - 1 : nil
        }
        guard case .success(let outcome) = result else { return }
        onOutdated?(outcome.inodes)
        if case .createTemporary = item.command { release(outcome.inodes) }
    }

    /// An inode that lives on only because it is open here must be claimed from the next leader.
    private func noteOpen(_ command: Command, _ outcome: Outcome) {
        switch (command, outcome) {
        case (.unlink(_, _, keep: true), .removed(let attributes, orphaned: true, _)),
            (.removeDirectory(_, _, keep: true), .removed(let attributes, orphaned: true, _)):
            opens.insert(attributes.inode)
        case (.rename(_, _, _, _, _, keep: true), .renamed(_, let other?, orphaned: true, _)): opens.insert(other.inode)
        case (.createTemporary, .done(let attributes?, _)): opens.insert(attributes.inode)
        default: break
        }
    }

    // MARK: Releases

    private func takeReleases() -> [InodeID] {
        guard !releases.isEmpty else { return [] }
        let count = min(releases.count, MessageLimits.releases)
        // What was leased again since, or is known to the leader as open here, is not to be given back.
        let result = releases[..<count].filter { leases[$0] == nil && !opens.contains($0) }
        releases.removeFirst(count)
        return result
    }

    /// Gives leases back within 50 ms even if no other request takes the releases along.
    func scheduleReleases() {
        guard !isReleaseScheduled else { return }
        isReleaseScheduled = true
        _ = environment.clock.schedule(after: 50 * Nanoseconds.millisecond) { [weak self] in
            guard let self else { return }
            self.isReleaseScheduled = false
            guard !self.releases.isEmpty, !self.isClosed, let connection = self.connection else { return }
            Task { @LoopActor in
                while !self.releases.isEmpty, self.connection?.generation == connection.generation {
                    do throws(TransportError) {
                        _ = try await self.call(.metadataLease, over: connection, self.now + 10 * Nanoseconds.second) { $0.boolean(false) }
                    } catch {
                        return
                    }
                }
            }
        }
    }

    // MARK: Recalls

    /// Answers requests of kinds `.metadataRecall` and `.metadataLockGranted`.
    package func handle(
        _ kind: RequestKind, _ message: Transport.Message, _ channel: any Channel
    ) async throws(TransportError) -> Transport.Message {
        if kind == .metadataLockGranted { return try takeGrants(message) }
        guard kind == .metadataRecall else { throw TransportError(.malformed, "not a request for a client") }
        let request = try decode(message.body) { reader throws(DecodeError) in try RecallRequest(from: &reader) }
        guard request.session == session, session != LeaseTable.nobody else { return Transport.Message(body: [0]) }
        #if CANARIES
            if Canary.dropsRecalls.isActive { return Transport.Message(body: [0]) }
        #endif
        if !unanswered.isEmpty { recalled[request.inode] = max(request.number, recalled[request.inode] ?? 0) }
        if recalled.count > Self.rememberedMax {
            recallFloor = recalled.values.max() ?? recallFloor
            recalled.removeAll()
        }
        recalling[request.inode, default: 0] += 1
        pump()
        let answer = await onRecall?(Recall(inode: request.inode, keepShared: request.keepShared)) ?? RecallAnswer(stillOpen: false)
        if let count = recalling[request.inode] { recalling[request.inode] = count > 1 ? count - 1 : nil }
        guard request.session == session else { return Transport.Message(body: [0]) }
        if request.keepShared {
            if leases[request.inode] == true { leases[request.inode] = false }
        } else {
            leases.removeValue(forKey: request.inode)
        }
        if answer.stillOpen { opens.insert(request.inode) } else { opens.remove(request.inode) }
        return Transport.Message(body: [answer.stillOpen ? 1 : 0])
    }
}
