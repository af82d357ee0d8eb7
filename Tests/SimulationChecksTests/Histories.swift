import SimulationChecks

/// Short ways to write histories by hand. Clients have numbers; times are orders of events.
func client(_ number: UInt16, life: UInt16 = 0) -> ClientID { ClientID(machine: number, life: life) }

func moment(_ order: UInt64) -> Moment { Moment(order: order, time: order * 1_000_000) }

/// An operation from one event to another; without an end, and without an outcome, nobody knows whether it happened.
func operation<Call, Outcome>(_ who: UInt16, _ call: Call, _ outcome: Outcome?, _ from: UInt64, _ to: UInt64? = nil) -> Operation<Call, Outcome> {
    Operation(client: client(who), call: call, outcome: outcome, called: moment(from), returned: outcome == nil ? nil : moment(to ?? from + 1))
}

/// Operations one after the other.
func inSequence<Call, Outcome>(_ steps: [(UInt16, Call, Outcome?)]) -> [Operation<Call, Outcome>] {
    steps.enumerated().map { index, step in operation(step.0, step.1, step.2, UInt64(index * 2 + 1)) }
}
