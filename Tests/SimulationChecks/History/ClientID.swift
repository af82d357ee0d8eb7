/// One life of a client: a mount process from its start to its end. A machine that is started again has the next life.
package struct ClientID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let machine: UInt16
    package let life: UInt16

    package init(machine: UInt16, life: UInt16) {
        self.machine = machine
        self.life = life
    }

    package static func < (left: ClientID, right: ClientID) -> Bool { (left.machine, left.life) < (right.machine, right.life) }

    /// "c2" for the first life of machine 2, then "c2'1", "c2'2" and so on.
    package var description: String { life == 0 ? "c\(machine)" : "c\(machine)'\(life)" }
}
