import Bytes
import Model
import Runtime
import TestSupport
import Testing
import Transport
import Wire

/// Channels in a world in memory.
@Suite @LoopActor struct ChannelTests {
    @Test func bothEndsAsk() async throws {
        let world = MemoryWorld()
        let pair = try await Pair.memory(world, server: echo, client: { _, message, _ throws(TransportError) in Message("got " + message.text) })
        #expect(try await pair.client.call(.probe, Message("a"), timeout: Nanoseconds.second).text == "a")
        #expect(try await pair.server.call(.probe, Message("b"), timeout: Nanoseconds.second).text == "got b")
        #expect(pair.server.peer.node == NodeID(rawValue: 2))
        #expect(pair.client.peer.node == NodeID(rawValue: 1))
    }

    @Test(arguments: [1, 3, 19, 20, 21, 4096, Int.max]) func framesSurviveAnyCut(fragment: Int) async throws {
        let world = MemoryWorld()
        world.fabric.fragment = fragment
        let pair = try await Pair.memory(world, server: echo)
        let size = fragment < 100 ? 3000 : 300_000
        let payload = pattern(size)
        let body = [UInt8](repeating: 7, count: fragment < 100 ? 500 : 50_000)
        let reply = try await pair.client.call(.blockPut, Message(body: body, payload: payload), timeout: Nanoseconds.second)
        let sameBody = reply.body == body
        let samePayload = reply.payload?.array == payload.array
        #expect(sameBody)
        #expect(samePayload)
    }

    @Test func largestFrame() async throws {
        let world = MemoryWorld()
        let pair = try await Pair.memory(world, server: echo)
        let payload = pattern(FrameHeader.payloadMax)
        let reply = try await pair.client.call(.blockPut, Message(payload: payload), timeout: Nanoseconds.second)
        #expect(reply.payload?.withBytes { left in payload.withBytes { right in left.elementsEqual(right) } } == true)
        let tooLarge = pattern(FrameHeader.payloadMax + 1)
        let error = await #expect(throws: TransportError.self) {
            try await pair.client.call(.blockPut, Message(payload: tooLarge), timeout: Nanoseconds.second)
        }
        #expect(error?.code == .malformed)
        #expect(pair.client.isOpen)
    }

    @Test func repliesComeOutOfOrder() async throws {
        let world = MemoryWorld()
        let slow = Gate()
        let pair = try await Pair.memory(world, server: { _, message, _ throws(TransportError) in
            if message.text == "slow" { await slow.wait() }
            return message
        })
        async let first = pair.client.call(.probe, Message("slow"), timeout: Nanoseconds.second)
        let second = try await pair.client.call(.probe, Message("fast"), timeout: Nanoseconds.second)
        #expect(second.text == "fast")
        slow.open()
        #expect(try await first.text == "slow")
    }

    /// The promise in `Channel`: what a reply brought is stored before the handler of a later request starts.
    @Test func replyIsSeenBeforeLaterRequest() async throws {
        let world = MemoryWorld()
        let stored = Counter()
        var seen: [Int] = []
        let asked = Gate()
        let serverEnd = Holder()
        let pair = try await Pair.memory(
            world,
            server: { _, message, _ throws(TransportError) in
                // The reply and the recall leave in one piece, in this order.
                Task { @LoopActor in _ = try? await serverEnd.channel?.call(.metadataRecall, Message("recall"), timeout: Nanoseconds.second) }
                return message
            },
            client: { _, message, _ throws(TransportError) in
                seen.append(stored.value)
                asked.open()
                return message
            })
        serverEnd.channel = pair.server
        for round in 1...50 {
            _ = try await pair.client.call(.metadataLease, Message("grant"), timeout: Nanoseconds.second)
            stored.value = round
            await settle()
        }
        await asked.wait()
        #expect(seen == Array(1...50))
        serverEnd.channel = nil
    }

    @Test func creditBoundsRequests() async throws {
        let world = MemoryWorld()
        let gate = Gate()
        var running = 0
        var most = 0
        let pair = try await Pair.memory(world, server: { _, message, _ throws(TransportError) in
            running += 1
            most = max(most, running)
            await gate.wait()
            running -= 1
            return message
        })
        var order: [Int] = []
        let calls = (0..<300).map { number in
            Task { @LoopActor in
                let reply = try await pair.client.call(.probe, Message("\(number)"), timeout: Nanoseconds.minute)
                order.append(number)
                return reply.text
            }
        }
        await settle()
        #expect(running == MessageChannel.requestsMax)
        gate.open()
        for (number, call) in calls.enumerated() { #expect(try await call.value == "\(number)") }
        #expect(most == MessageChannel.requestsMax)
        #expect(order == Array(0..<300))
    }

    @Test func creditBoundsPayload() async throws {
        let world = MemoryWorld()
        world.fabric.capacity = 256 << 20
        let gate = Gate()
        var running = 0
        let pair = try await Pair.memory(world, server: { _, _, _ throws(TransportError) in
            running += 1
            await gate.wait()
            return Message()
        })
        let payload = pattern(4 << 20)
        let calls = (0..<20).map { _ in
            Task { @LoopActor in try await pair.client.call(.blockPut, Message(payload: payload), timeout: Nanoseconds.minute) }
        }
        await settle(turns: 2000)
        #expect(running == 16)
        gate.open()
        for call in calls { _ = try await call.value }
        #expect(running == 20)
    }

    @Test func timeoutLeavesTheChannelAlone() async throws {
        let world = MemoryWorld()
        let gate = Gate()
        let pair = try await Pair.memory(world, server: { _, message, _ throws(TransportError) in
            if message.text == "hang" { await gate.wait() }
            return message
        })
        let hanging = Task { @LoopActor in try await pair.client.call(.probe, Message("hang"), timeout: 5 * Nanoseconds.second) }
        await world.clock.advance(by: 6 * Nanoseconds.second)
        let error = await #expect(throws: TransportError.self) { try await hanging.value }
        #expect(error?.code == .noAnswer)
        #expect(error?.mayHaveHappened == true)
        // The late reply is dropped.
        gate.open()
        await settle()
        #expect(try await pair.client.call(.probe, Message("on"), timeout: Nanoseconds.second).text == "on")
    }

    @Test func endOfStreamTellsSentFromUnsent() async throws {
        let world = MemoryWorld()
        let gate = Gate()
        let pair = try await Pair.memory(world, server: { _, message, _ throws(TransportError) in
            await gate.wait()
            return message
        })
        let calls = (0..<(MessageChannel.requestsMax + 5)).map { _ in
            Task { @LoopActor () -> TransportError.Code? in
                do throws(TransportError) {
                    _ = try await pair.client.call(.probe, Message("x"), timeout: Nanoseconds.minute)
                    return nil
                } catch {
                    return error.code
                }
            }
        }
        await settle()
        var closed = 0
        pair.client.onClose { closed += 1 }
        world.fabric.reset("near", "far")
        var codes: [TransportError.Code?] = []
        for call in calls { codes.append(await call.value) }
        #expect(codes.prefix(MessageChannel.requestsMax).allSatisfy { $0 == .noAnswer })
        #expect(codes.suffix(5).allSatisfy { $0 == .unreachable })
        #expect(closed == 1)
        pair.client.onClose { closed += 1 }
        #expect(closed == 2)
        gate.open()
    }

    @Test func peerVanishesInsideAFrame() async throws {
        let world = MemoryWorld()
        let pair = try await Pair.memory(world, server: echo)
        // What is under way fills the link and never arrives whole.
        world.fabric.capacity = 100_000
        world.fabric.cut("near", "far")
        let call = Task { @LoopActor in try await pair.client.call(.blockPut, Message(payload: pattern(1 << 20)), timeout: Nanoseconds.minute) }
        await settle()
        world.fabric.crash("far")
        let error = await #expect(throws: TransportError.self) { try await call.value }
        #expect(error?.code == .noAnswer)
        #expect(!pair.client.isOpen)
    }

    @Test func errorsTravel() async throws {
        let world = MemoryWorld()
        let pair = try await Pair.memory(world, server: { _, _, _ throws(TransportError) in
            throw TransportError(.failed, "because", detail: [1, 2, 3])
        })
        let error = await #expect(throws: TransportError.self) {
            try await pair.client.call(.probe, Message(), timeout: Nanoseconds.second)
        }
        #expect(error?.code == .failed)
        #expect(error?.cause == "because")
        #expect(error?.detail == [1, 2, 3])
    }

    /// Every request as every role: who is not in the table never reaches the handler.
    @Test(arguments: [Role.anonymous, .node, .mount, .administrator]) func permissionTable(role: Role) async throws {
        let world = MemoryWorld()
        var reached: Set<RequestKind> = []
        let pair = try await Pair.memory(
            world, clientRole: role,
            server: { kind, message, _ throws(TransportError) in
                reached.insert(kind)
                return message
            })
        for kind in RequestKind.allCases {
            let code: TransportError.Code?
            do throws(TransportError) {
                _ = try await pair.client.call(kind, Message(), timeout: Nanoseconds.second)
                code = nil
            } catch {
                code = error.code
            }
            #expect(code == (kind.allowed.contains(role) ? nil : .denied), "\(kind) as \(role)")
        }
        #expect(reached == Set(RequestKind.allCases.filter { $0.allowed.contains(role) }))
        #expect(!reached.isEmpty)
        #expect(role == .anonymous ? reached == [.join] : !reached.contains(.join))
    }

    @Test func goodbyeFinishesWhatIsUnderWay() async throws {
        let world = MemoryWorld()
        let gate = Gate()
        let pair = try await Pair.memory(world, server: { _, message, _ throws(TransportError) in
            await gate.wait()
            return message
        })
        let call = Task { @LoopActor in try await pair.client.call(.probe, Message("late"), timeout: Nanoseconds.minute) }
        await settle()
        pair.server.closeOrderly(within: Nanoseconds.minute)
        await settle()
        #expect(!pair.client.isOpen)
        let refused = await #expect(throws: TransportError.self) {
            try await pair.client.call(.probe, Message("new"), timeout: Nanoseconds.minute)
        }
        #expect(refused?.code == .unreachable)
        gate.open()
        #expect(try await call.value.text == "late")
        var closed = false
        pair.client.onClose { closed = true }
        await settle()
        #expect(closed)
    }

    @Test func goodbyeDoesNotWaitForAnswersThatNobodyAwaits() async throws {
        let world = MemoryWorld()
        let gate = Gate()
        let pair = try await Pair.memory(world, server: { _, message, _ throws(TransportError) in
            await gate.wait()
            return message
        })
        var closed = 0
        pair.client.onClose { closed += 1 }
        let early = Task { @LoopActor in try? await pair.client.call(.probe, Message(), timeout: Nanoseconds.second) }
        let late = Task { @LoopActor in try? await pair.client.call(.probe, Message(), timeout: 2 * Nanoseconds.second) }
        await settle()
        await world.clock.advance(by: Nanoseconds.second)
        #expect(await early.value == nil)
        pair.server.closeOrderly(within: 60 * Nanoseconds.minute)
        await settle()
        #expect(closed == 0)
        await world.clock.advance(by: Nanoseconds.second)
        #expect(await late.value == nil)
        #expect(closed == 1)
        gate.open()
    }

    /// As for one that drains while its successor is already in use.
    @Test func aChannelWithoutOwnerServesUntilItIsClosed() async throws {
        let world = MemoryWorld()
        var pair: Pair? = try await Pair.memory(world, server: echo, client: echo)
        weak let client = pair?.client
        let server = try #require(pair?.server)
        pair = nil
        #expect(try await server.call(.probe, Message("there"), timeout: Nanoseconds.second).text == "there")
        server.close()
        await settle()
        #expect(client == nil)
    }
}
