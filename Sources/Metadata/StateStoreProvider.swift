package import OrderedStore
package import Runtime

/// Where the stores of the metadata state come from.
@LoopActor
package protocol StateStoreProvider: AnyObject, Sendable {
    /// Opens the store in use; makes an empty one if there is none.
    func open() async throws(StoreError) -> any OrderedStore
    /// Makes an empty store beside the one in use, in place of remains of an earlier one.
    func makeFresh() async throws(StoreError) -> any OrderedStore
    /// Puts `fresh`, which was flushed, in place of the one in use; it goes on being used as it is. After a crash `open` finds the one that was
    /// in use before or `fresh`, after an error as well.
    func adopt(_ fresh: any OrderedStore) async throws(StoreError)
    /// Removes stores that were replaced or given up, as far as nobody has them open.
    func removeUnused() async
}
