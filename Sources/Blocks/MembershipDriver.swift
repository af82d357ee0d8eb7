import Bytes
package import Membership
package import Model
package import Runtime
package import Telemetry
package import Transport
import Ring
import Wire

/// Runs the failure detector of one daemon: sends its probes, answers those of others, and tells `PeerHealth` what it finds.
@LoopActor
package final class MembershipDriver: Sendable {
    /// Told of every change of a member's state.
    package var onChange: (@LoopActor (NodeID, MemberState) -> Void)?

    private let node: NodeID
    private let configuration: MembershipConfiguration
    private let layouts: LayoutTable
    private let requests: any RequestClient
    private let health: PeerHealth
    private let clock: any Clock
    private let random: any RandomSource
    private let log: Log
    private var detector: Membership
    private var timer: (any TimerHandle)?
    private var isRunning = false

    package init(
        node: NodeID, layouts: LayoutTable, requests: any RequestClient, health: PeerHealth, environment: Environment, log: Log,
        configuration: MembershipConfiguration = MembershipConfiguration()
    ) {
        self.node = node
        self.configuration = configuration
        self.layouts = layouts
        self.requests = requests
        self.health = health
        clock = environment.clock
        random = environment.random
        self.log = log
        detector = Membership(configuration: configuration, seed: environment.random.next())
    }

    /// Every other member as seen from here, ordered by id.
    package var members: [MemberStatus] { detector.members }

    package func start() {
        guard !isRunning else { return }
        isRunning = true
        layouts.observe { [weak self] rings in
            guard let self else { return }
            step(.members(rings.nodes.filter { $0 != node }))
        }
        schedule()
    }

    package func stop() {
        isRunning = false
        timer?.cancel()
        timer = nil
    }

    /// A message of `member` arrived: whatever it is, it is a sign of life.
    package func heard(_ member: NodeID) { step(.heard(member)) }

    /// Answers a `probe`.
    package func handle(_ message: Message) async throws(TransportError) -> Message {
        let request: ProbeRequest
        do throws(DecodeError) { request = try ProbeRequest(decoding: message.body) } catch {
            throw TransportError(.malformed, "probe: \(error)")
        }
        var isAlive = true
        // Only members are probed for others, so that nobody is made to knock at arbitrary doors.
        if let target = request.target, target != node {
            isAlive = detector.status(of: target) != nil ? await probe(target) != nil : false
        }
        return Message(body: ProbeReply(isAlive: isAlive, layoutVersion: layouts.current.layout.version).encoded)
    }

    private func schedule() {
        // Ten percent either way, so that the daemons of a cluster do not probe in step.
        let interval = configuration.probeInterval
        let jitter = random.next() % (interval / 5 + 1)
        timer = clock.schedule(after: interval - interval / 10 + jitter) { [weak self] in
            guard let self, isRunning else { return }
            step(.tick)
            schedule()
        }
    }

    private func step(_ event: MembershipEvent) {
        for effect in detector.step(event, now: clock.now) {
            switch effect {
            case .probe(let target):
                Task { @LoopActor in
                    if let roundTrip = await probe(target) {
                        step(.answered(target, roundTrip: roundTrip))
                        health.noteProbeAnswer(of: target)
                    } else {
                        step(.missed(target))
                    }
                }
            case .probeIndirectly(let target, let helpers):
                Task { @LoopActor in
                    step(await probe(target, through: helpers) ? .answeredIndirectly(target) : .missedIndirectly(target))
                }
            case .changed(let member, let old, let new):
                log.info("member \(new)", ["node": member.description, "before": "\(old)"])
                health.note(new, of: member)
                onChange?(member, new)
            }
        }
    }

    /// The round-trip time, or nil without an answer within one probe interval.
    private func probe(_ target: NodeID) async -> UInt64? {
        let begin = clock.now
        let reply = await ask(target, ProbeRequest(target: nil), timeout: configuration.probeInterval)
        guard let reply, reply.isAlive else { return nil }
        return clock.now &- begin
    }

    /// Whether any of `helpers` gets an answer of `target`.
    private func probe(_ target: NodeID, through helpers: [NodeID]) async -> Bool {
        // The helper needs an interval for its own probe.
        let timeout = 2 * configuration.probeInterval
        let asked = helpers.map { helper in
            Task { @LoopActor in await self.ask(helper, ProbeRequest(target: target), timeout: timeout)?.isAlive ?? false }
        }
        for task in asked where await task.value { return true }
        return false
    }

    private func ask(_ target: NodeID, _ request: ProbeRequest, timeout: UInt64) async -> ProbeReply? {
        let reply: ProbeReply
        do throws(TransportError) {
            let message = try await requests.call(target, .probe, Message(body: request.encoded), timeout: timeout)
            do throws(DecodeError) { reply = try ProbeReply(decoding: message.body) } catch {
                log.warning("probe answered with something else", ["node": target.description, "cause": "\(error)"])
                return nil
            }
        } catch {
            log.debug("probe not answered", ["node": target.description, "cause": error.cause])
            return nil
        }
        layouts.noteVersion(reply.layoutVersion)
        return reply
    }
}
