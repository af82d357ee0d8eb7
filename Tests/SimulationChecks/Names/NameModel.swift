import Glibc
package import Namespace

/// The calls on names of one directory and all below it; errors as the product has them, in the order in which it checks.
///
/// What was removed is forgotten but for its kind: a call on it fails with ESTALE, or as on an inode without links while somebody has it
/// open.
/// An error is accepted where any of the conditions holds that call for it and are checked in one step.
package struct NameModel: SequentialModel {
    package let initial: NameState

    /// Kinds of inodes, to know what those were that are gone.
    private let kinds: [UInt64: FileKind]

    package init(root: UInt64, kinds: [UInt64: FileKind] = [:]) {
        initial = NameState(root: root)
        self.kinds = kinds
    }

    package func next(_ state: NameState, _ call: NameCall, _ outcome: NameOutcome?) -> [NameState] {
        guard let outcome else {
            // It opened what somebody else made, and has changed nothing.
            if case .create(let parent, let name, _, _, _, let inode) = call, state.inode(parent, name) == nil, state.node(inode) != nil { return [] }
            let (errors, after) = carryOut(state, call)
            return errors.isEmpty ? [after] : []
        }
        // What somebody was shown tells the ids behind symbols.
        var state = state
        var call = call
        guard learn(&state, &call, outcome) else { return [] }
        let (errors, after) = carryOut(state, call)
        if case .failed(let error) = outcome { return errors.contains(error) ? [state] : [] }
        guard errors.isEmpty || allowsSuccess(state, call, outcome) else { return [] }
        return fits(after, call, outcome) ? [after] : []
    }

    /// Binds symbols to the ids in an outcome.
    private func learn(_ state: inout NameState, _ call: inout NameCall, _ outcome: NameOutcome) -> Bool {
        func bind(_ parent: UInt64, _ name: String, _ inode: UInt64) -> Bool {
            guard let known = state.inode(parent, name), known & NameState.symbolBit != 0 else { return true }
            return state.bind(known, to: inode)
        }
        switch (call, outcome) {
        case (.lookup(let parent, let name), .entry(let entry)): return bind(parent, name, entry.inode)
        case (.create(let parent, let name, let kind, let isExclusive, let target, _), .entry(let entry)):
            if !isExclusive, state.inode(parent, name) != nil { return bind(parent, name, entry.inode) }
            call = .create(parent: parent, name: name, kind: kind, isExclusive: isExclusive, target: target, symbol: entry.inode)
            return state.node(entry.inode) == nil
        case (.list(let parent), .listing(let names)):
            for item in names where !bind(parent, item.name, item.inode) { return false }
            return true
        default: return true
        }
    }

    /// The errors that a call may have (none: it succeeds), and the state after it if it succeeds.
    private func carryOut(_ state: NameState, _ call: NameCall) -> ([Int32], NameState) {
        var after = state
        switch call {
        case .lookup(let parent, let name):
            if let errors = directoryErrors(state, parent) { return (errors, state) }
            return state.inode(parent, name) == nil ? ([ENOENT], state) : ([], state)
        case .create(let parent, let name, let kind, let isExclusive, let target, let symbol):
            if let errors = directoryErrors(state, parent) { return (errors, state) }
            if let present = state.inode(parent, name) {
                if isExclusive { return ([EEXIST], state) }
                switch state.node(present)?.kind {
                case .file: return ([], state)
                case .directory: return ([EISDIR], state)
                default: return ([EINVAL], state)
                }
            }
            after.add(symbol, kind, parent: parent, name: name, target: target)
            return ([], after)
        case .link(let inode, let parent, let name):
            guard let node = state.node(inode) else {
                let open = kinds[inode] == .directory ? [EPERM] : [ENOENT] + (directoryErrors(state, parent) ?? []) + existing(state, parent, name)
                return ([ESTALE] + open, state)
            }
            if node.kind == .directory { return ([EPERM], state) }
            if let errors = directoryErrors(state, parent) { return (errors, state) }
            if state.inode(parent, name) != nil { return ([EEXIST], state) }
            after.addName(inode, parent: parent, name: name)
            return ([], after)
        case .unlink(let parent, let name):
            if let errors = directoryErrors(state, parent) { return (errors, state) }
            guard let inode = state.inode(parent, name) else { return ([ENOENT], state) }
            if state.node(inode)?.kind == .directory { return ([EISDIR], state) }
            after.remove(parent: parent, name: name)
            return ([], after)
        case .removeDirectory(let parent, let name):
            if let errors = directoryErrors(state, parent) { return (errors, state) }
            guard let inode = state.inode(parent, name) else { return ([ENOENT], state) }
            if state.node(inode)?.kind != .directory { return ([ENOTDIR], state) }
            if !state.children(inode).isEmpty { return ([ENOTEMPTY], state) }
            after.remove(parent: parent, name: name)
            return ([], after)
        case .rename(let from, let name, let to, let newName, let mode):
            return rename(state, from, name, to, newName, mode)
        case .list(let inode):
            return (directoryErrors(state, inode) ?? [], state)
        case .attributes(let inode):
            return (state.node(inode) == nil ? [ESTALE] : [], state)
        case .target(let inode):
            guard let node = state.node(inode) else { return (kinds[inode] == .symlink ? [ESTALE] : [ESTALE, EINVAL], state) }
            return (node.kind == .symlink ? [] : [EINVAL], state)
        }
    }

    private func rename(
        _ state: NameState, _ from: UInt64, _ name: String, _ to: UInt64, _ newName: String, _ mode: RenameMode
    ) -> ([Int32], NameState) {
        // The mount looks the old name up first if it may have to commit the file, and of two that are exchanged the new one too.
        var unlooked: [Int32] = []
        if mode == .exchange { unlooked = directoryErrors(state, to) ?? (state.inode(to, newName) == nil ? [ENOENT] : []) }
        if let errors = directoryErrors(state, from) { return (errors + unlooked, state) }
        let absent = state.inode(from, name) == nil ? [ENOENT] : []
        if let errors = directoryErrors(state, to) { return (errors + absent, state) }
        guard let moved = state.inode(from, name), let node = state.node(moved) else { return ([ENOENT], state) }
        let present = state.inode(to, newName)
        if mode == .noReplace, present != nil { return ([EEXIST], state) }
        if mode == .exchange, present == nil { return ([ENOENT], state) }
        let other = present.flatMap { state.node($0) }
        if from != to {
            if node.kind == .directory, state.isAncestor(moved, of: to) { return ([EINVAL], state) }
            if let other, other.kind == .directory, state.isAncestor(other.inode, of: from) {
                return ([mode == .exchange ? EINVAL : ENOTEMPTY], state)
            }
        }
        // Two names of one file: nothing happens.
        if present == moved { return ([], state) }
        var after = state
        if mode == .exchange {
            after.exchange(parent: from, name: name, with: to, newName)
            return ([], after)
        }
        if let other {
            if node.kind == .directory {
                guard other.kind == .directory else { return ([ENOTDIR], state) }
                guard state.children(other.inode).isEmpty else { return ([ENOTEMPTY], state) }
            } else if other.kind == .directory {
                return ([EISDIR], state)
            }
            after.remove(parent: to, name: newName)
        }
        after.move(parent: from, name: name, to: to, newName)
        return ([], after)
    }

    private func existing(_ state: NameState, _ parent: UInt64, _ name: String) -> [Int32] {
        state.inode(parent, name) == nil ? [] : [EEXIST]
    }

    /// nil: it is a directory that is there.
    private func directoryErrors(_ state: NameState, _ inode: UInt64) -> [Int32]? {
        guard let node = state.node(inode) else { return [ESTALE, kinds[inode] == .directory ? ENOENT : ENOTDIR] }
        return node.kind == .directory ? nil : [ENOTDIR]
    }

    /// A removed inode that is open somewhere still shows itself, without links; a removed directory as empty.
    private func allowsSuccess(_ state: NameState, _ call: NameCall, _ outcome: NameOutcome) -> Bool {
        switch (call, outcome) {
        case (.attributes(let inode), .entry(let entry)): state.node(inode) == nil && entry.inode == inode && entry.links == 0
        case (.list(let inode), .listing(let names)): state.node(inode) == nil && kinds[inode] == .directory && names.isEmpty
        case (.target(let inode), .target): state.node(inode) == nil
        default: false
        }
    }

    /// Whether an outcome says what the state after the call is; a new file gets its id.
    private func fits(_ after: NameState, _ call: NameCall, _ outcome: NameOutcome) -> Bool {
        switch (call, outcome) {
        case (.lookup(let parent, let name), .entry(let entry)):
            return after.inode(parent, name).flatMap { after.node($0) }.map { after.attributes($0) } == entry
        case (.create(let parent, let name, _, _, _, _), .entry(let entry)):
            return after.inode(parent, name).flatMap { after.node($0) }.map { after.attributes($0) } == entry
        case (.link(let inode, _, _), .entry(let entry)):
            return after.node(inode).map { after.attributes($0) } == entry
        case (.attributes(let inode), .entry(let entry)):
            guard let node = after.node(inode) else { return true }
            return after.attributes(node) == entry
        case (.list(let inode), .listing(let names)):
            let children = after.children(inode)
            guard children.count == names.count else { return false }
            return zip(children, names).allSatisfy { child, item in
                child.name == item.name && child.inode == item.inode && after.node(child.inode)?.kind == item.kind
            }
        case (.target(let inode), .target(let target)):
            return after.node(inode).map { $0.target == target } ?? true
        case (.unlink, .done), (.removeDirectory, .done), (.rename, .done): return true
        default: return false
        }
    }
}
