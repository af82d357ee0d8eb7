import Bytes
package import Digest
package import Model
import Ring
import Runtime
import Telemetry

/// Bringing missing and bad copies back.
extension BlockService {
    /// How getting a copy for ourselves ended.
    enum PullOutcome {
        case done
        /// Everybody answered and nobody has a good copy.
        case absent
        /// Somebody who may have one does not answer.
        case unavailable(String)
        /// Our own store cannot take it.
        case failed(BlockFailure)
    }

    /// Does one task of the resync queue.
    func mend(_ task: ResyncTask) async -> ResyncOutcome {
        // The layout may have moved the block elsewhere since the task was noted.
        guard layouts.current.isSuccessor(task.node, of: task.key) else { return .done }
        return task.node == node ? await fetch(task.key) : await deliver(task.key, to: task.node)
    }

    private func fetch(_ key: BlockKey) async -> ResyncOutcome {
        do throws(BlockFailure) {
            if try await local.length(of: key) != nil { return .done }
        } catch {
            return .failed(error.cause)
        }
        switch await pull(key, from: []) {
        case .done:
            return .done
        case .absent:
            // Deleted meanwhile; or lost, which verify reports. Asking for ever would bring back neither.
            log.warning("no copy to fetch", ["block": key.description])
            return .done
        case .unavailable(let cause):
            return .failed(cause)
        case .failed(let failure):
            return .failed(failure.cause)
        }
    }

    private func deliver(_ key: BlockKey, to target: NodeID) async -> ResyncOutcome {
        if replicas.health.rank(of: target) == .down { return .failed("\(target) is down") }
        do throws(ReplicaError) {
            // Another coordinator may have delivered it; the question is small, the block is not.
            if try await replicas.probe([key], on: target, timeout: Self.replicaTimeout).first.map({ $0 > 0 }) ?? false { return .done }
        } catch {
            return .failed(error.cause)
        }
        let content: Slice
        do throws(BlockFailure) {
            content = try await local.get(key, range: nil)
        } catch {
            switch error.code {
            case .missing:
                // Deleted, or moved away: not ours to deliver any more.
                return .done
            case .corrupt:
                resync.enqueue(ResyncTask(node: node, key: key))
                return .failed(error.cause)
            default:
                return .failed(error.cause)
            }
        }
        do throws(ReplicaError) {
            try await replicas.replicate(key, content, on: target, timeout: Self.replicaTimeout)
            return .done
        } catch {
            return .failed(error.cause)
        }
    }

    /// Gets a good copy from one of `sources` (from wherever the ring says if empty) unless there is one here, and stores it in the
    /// place of a bad one.
    func pull(_ key: BlockKey, from sources: [NodeID]) async -> PullOutcome {
        do throws(BlockFailure) {
            let condition = await condition(of: key)
            if condition == .good { return .done }
            var order = sources
            if order.isEmpty {
                let candidates = layouts.rings.candidates(for: key)
                let health = replicas.health
                order =
                    health.bySpeed(candidates.replicas, preferring: nil) + health.bySpeed(candidates.former, preferring: nil)
                    + health.bySpeed(candidates.others, preferring: nil)
            }
            var silence: String?
            for source in order where source != node {
                let content: Slice
                do throws(ReplicaError) {
                    content = try await replicas.get(key, length: nil, from: source, timeout: Self.replicaTimeout)
                } catch {
                    if !error.isAbsent { silence = error.cause }
                    continue
                }
                if condition == .corrupt { try await local.quarantine(key) }
                try await local.put(key, content)
                return .done
            }
            if let silence { return .unavailable(silence) }
            return .absent
        } catch {
            return .failed(error)
        }
    }

    /// A copy that the disk cannot read is as good as a bad one where another can be had.
    private func condition(of key: BlockKey) async -> BlockCondition {
        do throws(BlockFailure) { return try await local.check(key) } catch { return .corrupt }
    }

    /// Has every daemon of every known layout forget blocks. The caller made sure before that nothing refers to them.
    /// - Returns: the daemons that did not confirm; empty if the blocks are gone everywhere. To be asked again later.
    package func deleteEverywhere(_ keys: [BlockKey]) async -> [NodeID] {
        let asked = layouts.rings.nodes.map { target in
            (node: target, task: Task { @LoopActor in await self.delete(keys, on: target) })
        }
        var silent: [NodeID] = []
        for (node, task) in asked where await !task.value { silent.append(node) }
        return silent
    }

    private func delete(_ keys: [BlockKey], on target: NodeID) async -> Bool {
        var rest = keys[...]
        while !rest.isEmpty {
            let part = Array(rest.prefix(BlockKeysRequest.keysMax))
            rest = rest.dropFirst(part.count)
            if target == node {
                do throws(BlockFailure) { try await local.delete(part) } catch {
                    log.warning("blocks not deleted", ["node": target.description, "cause": error.cause])
                    return false
                }
            } else {
                do throws(ReplicaError) { try await replicas.delete(part, on: target, timeout: Self.replicaTimeout) } catch {
                    log.debug("blocks not deleted", ["node": target.description, "cause": error.cause])
                    return false
                }
            }
        }
        return true
    }
}
