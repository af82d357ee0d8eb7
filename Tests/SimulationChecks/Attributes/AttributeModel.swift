import Glibc
package import Namespace

/// The attributes and extended attributes of one inode. Attributes are un-synced changes like content; extended attributes are kept when
/// they
/// return, and with them whatever the same client changed before.
package struct AttributeModel: SequentialModel {
    package struct State: Hashable, Sendable {
        var kept = AttributeValues()
        var seen = AttributeValues()
        var pending: [AttributeValues] = []
        var holder: ClientID?
        /// By name, sorted.
        var extended: [Extended] = []

        mutating func keep() {
            kept = seen
            pending = []
            holder = nil
        }
    }

    package struct Extended: Hashable, Sendable {
        var name: String
        var value: UInt64
    }

    package enum Action: Equatable, Sendable {
        case change(AttributeValues)
        case show
        case sync
        case setExtended(String, UInt64, XattrMode)
        case removeExtended(String)
        case extended(String)
        case names
        /// No call: what the client had not synced may be gone.
        case lose
    }

    package struct Call: Equatable, Sendable {
        package var client: ClientID
        package var action: Action

        package init(_ client: ClientID, _ action: Action) {
            self.client = client
            self.action = action
        }
    }

    package enum Outcome: Equatable, Sendable {
        case done
        case values(AttributeValues)
        case value(UInt64)
        case names([String])
        case failed(Int32)
    }

    package let initial = State()

    package init() {}

    package func next(_ state: State, _ call: Call, _ outcome: Outcome?) -> [State] {
        var after = state
        if case .lose = call.action { return lose(state, call.client) }
        let isOther = state.holder != nil && state.holder != call.client
        if isOther { after.keep() }
        switch call.action {
        case .change(let values):
            after.seen.absorb(values)
            after.pending.append(values)
            after.holder = call.client
            if case .values(let shown) = outcome, !after.seen.agrees(with: shown) { return [] }
            return [after]
        case .show:
            guard case .values(let shown) = outcome else { return outcome == nil ? [state] : [] }
            return after.seen.agrees(with: shown) ? [after] : []
        case .sync:
            guard outcome == .done else { return [state] }
            if state.holder == call.client { after.keep() }
            return [after]
        case .extended(let name):
            let value = state.extended.first { $0.name == name }?.value
            switch outcome {
            case .value(let shown): return shown == value ? [after] : []
            case .failed(ENODATA): return value == nil ? [after] : []
            case nil: return [state]
            default: return []
            }
        case .names:
            guard case .names(let names) = outcome else { return outcome == nil ? [state] : [] }
            return names == state.extended.map(\.name) ? [after] : []
        case .setExtended(let name, let value, let mode):
            let place = state.extended.firstIndex { $0.name == name }
            if mode == .create, place != nil { return refused(after, outcome, EEXIST) }
            if mode == .replace, place == nil { return refused(after, outcome, ENODATA) }
            guard outcome == nil || outcome == .done else { return [] }
            after.keep()
            if let place {
                after.extended[place].value = value
            } else {
                after.extended.append(Extended(name: name, value: value))
                after.extended.sort { $0.name < $1.name }
            }
            return [after]
        case .removeExtended(let name):
            guard let place = state.extended.firstIndex(where: { $0.name == name }) else { return refused(after, outcome, ENODATA) }
            guard outcome == nil || outcome == .done else { return [] }
            after.keep()
            after.extended.remove(at: place)
            return [after]
        case .lose: return []
        }
    }

    private func refused(_ after: State, _ outcome: Outcome?, _ error: Int32) -> [State] {
        outcome == nil || outcome == .failed(error) ? [after] : []
    }

    private func lose(_ state: State, _ client: ClientID) -> [State] {
        guard state.holder == client else { return [state] }
        var results: [State] = []
        var values = state.kept
        for survivors in 0...state.pending.count {
            if survivors > 0 { values.absorb(state.pending[survivors - 1]) }
            var after = state
            after.seen = values
            after.keep()
            results.append(after)
        }
        return results.reversed()
    }

    // MARK: Explanations

    package func describe(_ state: State) -> String {
        let extended = state.extended.map { "\($0.name)=\($0.value)" }.joined(separator: " ")
        let pending = state.pending.isEmpty ? "" : ", \(state.pending.count) changes of \(state.holder.map(\.description) ?? "nobody") un-synced"
        return "\(state.seen) [\(extended)]\(pending)"
    }

    package func describe(_ call: Call, _ outcome: Outcome?) -> String {
        let text =
            switch call.action {
            case .change(let values): "set \(values)"
            case .show: "stat"
            case .sync: "sync"
            case .setExtended(let name, let value, let mode): "setxattr (\(mode)) \(name)=\(value)"
            case .removeExtended(let name): "removexattr \(name)"
            case .extended(let name): "getxattr \(name)"
            case .names: "listxattr"
            case .lose: "\(call.client) ends or loses its session"
            }
        switch outcome {
        case nil: return text
        case .done: return text + ": done"
        case .values(let values): return text + ": \(values)"
        case .value(let value): return text + ": \(value)"
        case .names(let names): return text + ": [\(names.joined(separator: " "))]"
        case .failed(let error): return text + ": " + String(cString: strerror(error))
        }
    }
}
