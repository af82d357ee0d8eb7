/// What a correct object does when it is used by one caller at a time. May be nondeterministic.
package protocol SequentialModel {
    associatedtype State: Hashable
    associatedtype Call: Sendable
    associatedtype Outcome: Sendable

    var initial: State { get }

    /// The states in which the object may be after `call` was carried out in `state` with `outcome`; none if that cannot be.
    /// - Parameter outcome: nil where it is not known: every outcome is possible, "nothing happened" need not be among the answers.
    func next(_ state: State, _ call: Call, _ outcome: Outcome?) -> [State]

    /// For explanations.
    func describe(_ state: State) -> String
    func describe(_ call: Call, _ outcome: Outcome?) -> String
}
