/// What a tree is.
package enum World: String, CaseIterable, Sendable {
    /// A directory of a local filesystem, which says what is right.
    case oracle
    /// A real mount of dhtfs.
    case mount
    /// Layer 4 in this process, under a model of the kernel's part.
    case process
}

/// One rule of POSIX, or of Linux where POSIX leaves it open, as a program can see it.
package struct Case: Sendable {
    package enum Body: Sendable {
        case one(@Sendable (Context) throws -> Void)
        /// Two mounts of one tree, in the same directory.
        case two(@Sendable (Context, Context) throws -> Void)
    }

    package let name: String
    /// Where it does not apply, and why.
    package let exceptions: [World: String]
    package let body: Body

    package var isTwo: Bool { if case .two = body { true } else { false } }
}

/// The cases by name.
package struct CaseTable {
    package private(set) var cases: [Case] = []
    private let group: String

    init(_ group: String) { self.group = group }

    mutating func add(_ name: String, except: [World: String] = [:], _ body: @escaping @Sendable (Context) throws -> Void) {
        cases.append(Case(name: "\(group).\(name)", exceptions: except, body: .one(body)))
    }

    mutating func addTwo(_ name: String, except: [World: String] = [:], _ body: @escaping @Sendable (Context, Context) throws -> Void) {
        cases.append(Case(name: "\(group).\(name)", exceptions: except, body: .two(body)))
    }
}

/// The suite.
package enum Suite {
    package static let cases: [Case] = [
        openCases(), contentCases(), rangeCases(), nameCases(), directoryCases(), linkCases(), renameCases(), permissionCases(), ownerCases(), timesCases(),
        xattrCases(), listCases(), limitsCases(), unlinkedCases(), nodeCases(), realCases(), coherenceCases(), coherentContentCases(),
    ].flatMap(\.cases)

    /// Runs one case in a directory of its own. - Returns: why it failed.
    package static func run(_ test: Case, on first: any SystemCalls, _ second: (any SystemCalls)?) -> Failure? {
        do {
            let name = "case-" + test.name
            try first.enter(name)
            defer { first.leave() }
            switch test.body {
            case .one(let body):
                try body(Context(first))
            case .two(let body):
                guard let second else { throw Failure("needs two trees") }
                try second.join(name)
                defer { second.part() }
                try body(Context(first), Context(second))
            }
            return nil
        } catch {
            return error as? Failure ?? Failure("\(error)")
        }
    }
}
