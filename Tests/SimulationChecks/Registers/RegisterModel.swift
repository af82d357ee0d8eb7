/// A name whose file is replaced as a whole: reads find what was put in place last. 0: there is no file.
package struct RegisterModel: SequentialModel {
    package enum Call: Equatable, Sendable {
        case replace(UInt64)
        case read
    }

    package let initial: UInt64 = 0

    package init() {}

    /// The outcome of a replacement is its own value; of a read the value that was found.
    package func next(_ state: UInt64, _ call: Call, _ outcome: UInt64?) -> [UInt64] {
        switch call {
        case .replace(let value): [value]
        case .read: outcome == nil || outcome == state ? [state] : []
        }
    }

    package func describe(_ state: UInt64) -> String { state == 0 ? "no file" : "version \(state)" }

    package func describe(_ call: Call, _ outcome: UInt64?) -> String {
        switch call {
        case .replace(let value): "replace by version \(value)\(outcome == nil ? ", not known" : "")"
        case .read: "read: \(outcome.map { describe($0) } ?? "not known")"
        }
    }
}
