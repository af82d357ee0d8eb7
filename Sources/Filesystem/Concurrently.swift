import Runtime

/// Runs `body` for all items at once, on the loop; the results are in the order of the items.
@LoopActor
func concurrently<Item: Sendable, Value: Sendable>(
    _ items: [Item], _ body: @escaping @LoopActor (Item) async -> Value
) async -> [Value] {
    guard !items.isEmpty else { return [] }
    let gathering = Gathering<Value>(count: items.count)
    return await withUnsafeContinuation { continuation in
        gathering.continuation = continuation
        for (index, item) in items.enumerated() {
            Task { @LoopActor in gathering.set(index, await body(item)) }
        }
    }
}

@LoopActor
private final class Gathering<Value: Sendable> {
    private var values: [Value?]
    private var missing: Int
    var continuation: UnsafeContinuation<[Value], Never>?

    init(count: Int) {
        values = Array(repeating: nil, count: count)
        missing = count
    }

    func set(_ index: Int, _ value: Value) {
        values[index] = value
        missing -= 1
        if missing == 0 { continuation?.resume(returning: values.compactMap { $0 }) }
    }
}
