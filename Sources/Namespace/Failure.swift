import OrderedStore

/// Why a command stopped.
enum Failure: Error {
    /// The command's own fault: its outcome; the rest of the batch goes on.
    case refused(NamespaceError)
    /// The store's: nothing of the batch happens.
    case store(StoreError)
}
