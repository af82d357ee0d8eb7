import Glibc

/// What a case works with: a directory of its own in one world, and users.
package struct Context {
    package let root: Process
    package let alice: Process
    package let bob: Process
    package let carol: Process
    private let calls: any SystemCalls

    package init(_ calls: any SystemCalls) {
        self.calls = calls
        root = Process(calls, .root)
        alice = Process(calls, .alice)
        bob = Process(calls, .bob)
        carol = Process(calls, .carol)
    }

    /// Lets the clock that stamps files go on.
    package func tick() { calls.tick() }

    package func equal<Value: Equatable>(_ found: Value, _ expected: Value, _ what: String = "value", line: UInt = #line) throws {
        guard found == expected else { throw Failure("line \(line): \(what) is \(Self.shown(found)), expected \(Self.shown(expected))") }
    }

    package func check(_ condition: Bool, _ what: String, line: UInt = #line) throws {
        guard condition else { throw Failure("line \(line): not so: \(what)") }
    }

    private static func shown(_ value: some Any) -> String {
        if let bytes = value as? [UInt8] { return bytes.count <= 80 ? "\"\(Path.shown(bytes))\"" : "\(bytes.count) bytes \"\(Path.shown(bytes.prefix(60)))…\"" }
        return "\(value)"
    }

    /// Which of the three times of a file (or of a directory) a body changes, after a tick.
    package func times(_ target: Target, line: UInt = #line, _ body: () throws -> Void) throws -> Changes {
        let before = try root.status(target, line: line)
        tick()
        try body()
        let after = try root.status(target, line: line)
        var changes: Changes = []
        if after.accessed != before.accessed { changes.insert(.accessed) }
        if after.modified != before.modified { changes.insert(.modified) }
        if after.changed != before.changed { changes.insert(.changed) }
        return changes
    }

    /// The body must change exactly these times.
    package func stamps(_ expected: Changes, _ target: Target, line: UInt = #line, _ body: () throws -> Void) throws {
        let found = try times(target, line: line, body)
        guard found == expected else { throw Failure("line \(line): times changed of \(target): \(found), expected \(expected)") }
    }

    package struct Changes: OptionSet, CustomStringConvertible {
        package let rawValue: Int
        package init(rawValue: Int) { self.rawValue = rawValue }
        package static let accessed = Changes(rawValue: 1)
        package static let modified = Changes(rawValue: 2)
        package static let changed = Changes(rawValue: 4)

        package var description: String {
            "[" + (contains(.accessed) ? "a" : "") + (contains(.modified) ? "m" : "") + (contains(.changed) ? "c" : "") + "]"
        }
    }
}
