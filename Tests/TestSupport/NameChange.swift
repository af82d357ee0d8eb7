import Runtime

/// A change of names that no sync of a directory has made durable yet. A rename takes effect whole.
@LoopActor
struct NameChange {
    /// A place for an entry.
    struct Slot: Hashable {
        let directory: ObjectIdentifier
        let name: String
    }

    struct Part {
        let directory: MemoryDirectory
        let name: String
        /// What is there afterwards; nil for nothing.
        let entry: MemoryDirectory.Entry?
    }

    let parts: [Part]

    var slots: [Slot] { parts.map { Slot(directory: ObjectIdentifier($0.directory), name: $0.name) } }

    func touches(_ directory: MemoryDirectory) -> Bool { parts.contains { $0.directory === directory } }

    func applyDurably() {
        for part in parts { part.directory.durable[part.name] = part.entry }
    }
}
