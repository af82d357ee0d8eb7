/// What a store finds when it reads a block and checks it against its key.
package enum BlockCondition: UInt8, Sendable, Equatable {
    case good = 0
    case missing = 1
    case corrupt = 2
}
