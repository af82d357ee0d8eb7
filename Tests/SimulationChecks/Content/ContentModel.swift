/// The content of one file under the contract: a read sees every write that returned before, at any client; what was synced, or seen by
/// another
/// client, stays whatever dies; of the rest, a client that dies or loses its session loses the newest changes only; and a handle whose
/// changes were
/// lost says so at its next sync or close.
package struct ContentModel: SequentialModel {
    package let initial = ContentState()

    /// The call is made by a client, which the model has to know.
    package struct Call: Equatable, Sendable {
        package var client: ClientID
        package var call: ContentCall

        package init(_ client: ClientID, _ call: ContentCall) {
            self.client = client
            self.call = call
        }
    }

    package init() {}

    package func next(_ state: ContentState, _ call: Call, _ outcome: ContentOutcome?) -> [ContentState] {
        let client = call.client
        switch call.call {
        case .write(let change, let handle, let isSynchronous):
            if outcome == nil, state.gone.contains(client) { return [] }
            var after = state
            if after.holder != client { after.keep() }
            change.apply(to: &after.seen)
            after.pending.append(ContentState.Pending(change: change, handle: handle))
            after.holder = client
            if isSynchronous, outcome == .done { after.keep() }
            return [after]
        case .read(let start, let count):
            guard case .read(let got, let runs) = outcome else { return outcome == nil ? [state] : [] }
            let end = min(state.seen.size, start + count)
            guard got == (end > start ? end - start : 0) else { return [] }
            guard got == 0 || state.seen.runs(in: start..<end) == runs else { return [] }
            return [observed(state, client)]
        case .size:
            guard case .size(let size) = outcome else { return outcome == nil ? [state] : [] }
            return size == state.seen.size ? [observed(state, client)] : []
        case .sync(let handle):
            return told(state, handle, outcome, mustTell: true) { if state.holder == client { $0.keep() } }
        case .close(let handle, let mustTell):
            return told(state, handle, outcome, mustTell: mustTell) { _ in }
        case .lose(let owes, let ends):
            return lose(state, client, owes: owes, ends: ends)
        }
    }

    private func observed(_ state: ContentState, _ client: ClientID) -> ContentState {
        guard state.holder != client, !state.pending.isEmpty else { return state }
        var after = state
        after.keep()
        return after
    }

    /// A sync or close: success is a lie where the handle's changes were lost.
    private func told(
        _ state: ContentState, _ handle: UInt64, _ outcome: ContentOutcome?, mustTell: Bool, _ success: (inout ContentState) -> Void
    ) -> [ContentState] {
        var after = state
        switch outcome {
        case .done:
            guard !mustTell || !state.owed.contains(handle) else { return [] }
            success(&after)
        case .failed:
            // Whoever was told once has to expect everything of what it wrote before.
            after.owed.removeAll { $0 == handle }
            for place in after.pending.indices where after.pending[place].handle == handle { after.pending[place].handle = 0 }
        case nil: break
        default: return []
        }
        return [after]
    }

    /// Everything may survive, or less and less from the end.
    private func lose(_ state: ContentState, _ client: ClientID, owes: Bool, ends: Bool) -> [ContentState] {
        var base = state
        if ends, !base.gone.contains(client) {
            base.gone.append(client)
            base.gone.sort()
        }
        guard state.holder == client else { return [base] }
        var results: [ContentState] = []
        var content = state.kept
        for survivors in 0...state.pending.count {
            if survivors > 0 { state.pending[survivors - 1].change.apply(to: &content) }
            var after = base
            after.kept = content
            after.seen = content
            after.holder = nil
            after.pending = []
            if owes {
                let lost = state.pending[survivors...].map(\.handle).filter { $0 != 0 }
                after.owed = Array(Set(state.owed + lost)).sorted()
            }
            results.append(after)
        }
        return results.reversed()
    }
}
