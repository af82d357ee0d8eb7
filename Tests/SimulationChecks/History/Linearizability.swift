/// Searches an order of a history's operations in which each takes effect at one moment between its call and its return, and which the
/// model allows: Wing and Gong's search (1993) with the memory of seen configurations of Lowe (2017), as Porcupine does it.
///
/// Operations with known outcomes are tried before those that may never have happened, and of those with known outcomes the one that
/// returned first; so a good history is mostly walked straight through, and what may or may not have happened is placed as late as
/// possible.
/// Of what a client lost at once, an operation is put in order only after those that had been told before it was called.
/// A configuration is not looked at again where one with the same state, the same known operations and only some of its uncertain ones
/// in order led nowhere: whatever comes next could as well have been done with more of them left.
package struct Linearizability<Model: SequentialModel> {
    package typealias Event = Operation<Model.Call, Model.Outcome>

    /// Configurations after which the search gives up.
    package static var defaultBound: Int { 200_000 }
    private static var shownOperations: Int { 8 }

    /// A point of the search: what was put in order last, and what is still to be tried from here.
    private struct Frame {
        var state: Model.State
        /// The operation that led here; -1 at the root.
        var entered: Int
        /// The set of operations in order so far, by Zobrist's method, 128 bits; of the uncertain ones only those without a bit in `used`.
        var hash: (UInt64, UInt64)
        /// Uncertain operations in order.
        var used: UInt64
        /// Where this frame's candidates begin in the pool, and the next one to be tried.
        var candidates: Int
        var next: Int
        /// The candidate being tried, with the states that it may lead to.
        var chosen = -1
        var successors: [Model.State] = []
        var nextSuccessor = 0
    }

    private struct Configuration: Hashable {
        var first: UInt64
        var second: UInt64
        var state: Model.State
    }

    private let model: Model
    private let events: [Event]
    private let bound: Int
    private var calls: [UInt64] = []
    private var returns: [UInt64] = []
    // Events not yet in order, a list sorted by their calls; the last index is its head.
    private var after: [Int] = []
    private var before: [Int] = []
    private var head: Int { events.count }
    private var remaining = 0
    private var frames: [Frame] = []
    private var pool: [Int] = []
    /// For each configuration, the sets of uncertain operations with which it was seen; none contains another.
    private var seen: [Configuration: [UInt64]] = [:]
    /// The bit of an uncertain operation: the first 64 have one, but for those of which a later one needs the earlier.
    private var bits: [Int: UInt64] = [:]
    /// Nothing is remembered before the first dead end: a good history needs no memory.
    private var remembers = false
    private var explored = 0
    private var best = (placed: -1, path: [Int](), stuck: [Int](), state: Model.State?.none)

    package static func check(_ model: Model, _ history: [Event], bound: Int = defaultBound) -> Verdict {
        var search = Linearizability(model, history, bound)
        return search.run()
    }

    private init(_ model: Model, _ history: [Event], _ bound: Int) {
        self.model = model
        self.bound = bound
        events = history.enumerated().sorted { ($0.element.called.order, $0.offset) < ($1.element.called.order, $1.offset) }.map(\.element)
        calls = events.map(\.called.order)
        returns = events.map { $0.returned?.order ?? .max }
        remaining = events.count { $0.outcome != nil }
        let uncertain = events.indices.filter { events[$0].outcome == nil && events[$0].lost == nil }
        for (number, event) in uncertain.prefix(64).enumerated() { bits[event] = 1 << UInt64(number) }
        after = (1...events.count + 1).map { $0 }
        before = (-1..<events.count).map { $0 }
        after[head] = events.isEmpty ? head : 0
        if !events.isEmpty {
            before[0] = head
            after[events.count - 1] = head
        }
        before[head] = events.isEmpty ? head : events.count - 1
    }

    private mutating func run() -> Verdict {
        guard remaining > 0 else { return .linearizable }
        push(model.initial, entered: -1, hash: (0, 0), used: 0)
        while let top = frames.indices.last {
            if frames[top].nextSuccessor < frames[top].successors.count {
                let state = frames[top].successors[frames[top].nextSuccessor]
                frames[top].nextSuccessor += 1
                let chosen = frames[top].chosen
                var hash = frames[top].hash
                var used = frames[top].used
                if events[chosen].outcome == nil, let bit = bits[chosen] {
                    used |= bit
                } else {
                    hash = (hash.0 ^ Self.mix(UInt64(chosen) &* 2 &+ 1), hash.1 ^ Self.mix(UInt64(chosen) &* 2 &+ 2))
                }
                if remembers, !isNew(Configuration(first: hash.0, second: hash.1, state: state), used) { continue }
                explored += 1
                guard explored <= bound else { return .unknown }
                unlink(chosen)
                guard remaining > 0 else { return .linearizable }
                push(state, entered: chosen, hash: hash, used: used)
            } else if frames[top].next < pool.count {
                let candidate = pool[frames[top].next]
                frames[top].next += 1
                let event = events[candidate]
                var successors = model.next(frames[top].state, event.call, event.outcome)
                // What may never have happened is of no use where it changes nothing, and nothing else needs it.
                if event.outcome == nil, event.lost == nil { successors.removeAll { $0 == frames[top].state } }
                frames[top].chosen = candidate
                frames[top].successors = successors
                frames[top].nextSuccessor = 0
            } else {
                remembers = true
                let frame = frames.removeLast()
                pool.removeSubrange(frame.candidates...)
                if frame.entered >= 0 { relink(frame.entered) }
            }
        }
        return .violation(explanation())
    }

    private mutating func isNew(_ configuration: Configuration, _ used: UInt64) -> Bool {
        guard var known = seen[configuration] else {
            seen[configuration] = [used]
            return true
        }
        guard !known.contains(where: { $0 & ~used == 0 }) else { return false }
        known.removeAll { used & ~$0 == 0 }
        known.append(used)
        seen[configuration] = known
        return true
    }

    private mutating func push(_ state: Model.State, entered: Int, hash: (UInt64, UInt64), used: UInt64) {
        let start = pool.count
        var minimum = UInt64.max
        var event = after[head]
        var told: [Int: UInt64] = [:]
        while event != head, calls[event] < minimum {
            if mayHappen(event, told) { pool.append(event) }
            if let lost = events[event].lost { told[lost.loss] = min(lost.told.order, told[lost.loss] ?? .max) }
            minimum = min(minimum, returns[event])
            event = after[event]
        }
        // Few at a time: insertion by return; unknown ones, which return never, keep the order of their calls behind the others.
        for place in pool.indices.dropFirst(start + 1) {
            let value = pool[place]
            var hole = place
            while hole > start, returns[pool[hole - 1]] > returns[value] {
                pool[hole] = pool[hole - 1]
                hole -= 1
            }
            pool[hole] = value
        }
        frames.append(Frame(state: state, entered: entered, hash: hash, used: used, candidates: start, next: start))
        let placed = events.count - remaining
        guard placed > best.placed else { return }
        best = (placed, frames.suffix(Self.shownOperations).map(\.entered).filter { $0 >= 0 }, Array(pool[start...]), state)
    }

    /// Whether all has happened that must have happened if this has.
    /// - Parameter told: of each loss, when the first operation that is not in order yet was told.
    private func mayHappen(_ event: Int, _ told: [Int: UInt64]) -> Bool {
        guard let lost = events[event].lost, let first = told[lost.loss] else { return true }
        return first > calls[event]
    }

    private mutating func unlink(_ event: Int) {
        after[before[event]] = after[event]
        before[after[event]] = before[event]
        if events[event].outcome != nil { remaining -= 1 }
    }

    private mutating func relink(_ event: Int) {
        after[before[event]] = event
        before[after[event]] = event
        if events[event].outcome != nil { remaining += 1 }
    }

    /// SplitMix64's finalizer.
    private static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value &* 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    private func explanation() -> [String] {
        var lines = best.path.map { "  in order   \(line($0))" }
        if let state = best.state { lines.append("  then it is \(model.describe(state))") }
        lines += best.stuck.map { "  \(events[$0].outcome == nil ? "perhaps   " : "not now   ") \(line($0))" }
        return lines
    }

    private func line(_ index: Int) -> String {
        let event = events[index]
        let end = event.returned.map(\.description) ?? "?"
        return "\(event.client) \(event.called)…\(end) \(model.describe(event.call, event.outcome))"
    }
}
