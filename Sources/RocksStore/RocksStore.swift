import CRocksDB
import Glibc
package import OrderedStore

/// An `OrderedStore` on disk: one RocksDB column family. Small memory (two write buffers of 16 MiB, 16 MiB of cached blocks), idle without
/// work.
///
/// Without a log (`Durability.flushed`) a crash keeps the batches up to some point at or after the last `flush`, each whole: whoever uses
/// it has a log of its own and a mark in the state that says how far it got. Calls block on the disk.
package final class RocksStore: OrderedStore {
    package enum Durability: Sendable {
        /// RocksDB's own log is off; what was written since the last flush is lost in a crash.
        case flushed
        /// RocksDB's log is on, not synced at each write: a crash of the process loses nothing, one of the machine what was not flushed.
        case logged
    }

    private let database: RocksDatabase

    /// Opens the store in `directory` and makes it if it is missing; its parent must exist. At most one at a time per directory.
    ///
    /// RocksDB syncs what it writes and its own directory, but not the directory that its own is in: without that a power loss may take the whole
    /// store, flushed or not.
    package init(directory: String, durability: Durability = .flushed) throws(StoreError) {
        database = try RocksDatabase(directory: directory, durability: durability)
        try Self.syncParent(of: directory)
    }

    private static func syncParent(of directory: String) throws(StoreError) {
        let path = directory.split(separator: "/").dropLast().reduce(directory.hasPrefix("/") ? "" : ".") { $0 + "/" + $1 }
        let descriptor = open(path.isEmpty ? "/" : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw StoreError(.failed, "cannot open \(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw StoreError(.failed, "cannot sync \(path): \(String(cString: strerror(errno)))") }
    }

    package func get(_ key: [UInt8]) throws(StoreError) -> [UInt8]? { try database.get(key, snapshot: nil) }

    package func scan(
        from lower: [UInt8], to upper: [UInt8]?, _ visit: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(StoreError) {
        try database.scan(from: lower, to: upper, snapshot: nil, visit)
    }

    package func write(_ batch: WriteBatch) throws(StoreError) { try database.write(batch) }

    /// Without a log: writes the memory tables out. With one: syncs it.
    package func flush() throws(StoreError) { try database.flush() }

    /// Keeps the store open as long as it lives. Obsolete versions of rows stay on disk until then.
    package func snapshot() -> any OrderedReader & Sendable { RocksSnapshot(database) }

    /// Makes a store of its own in `directory`, which must not exist, of the present state: by hard links where that is on the same
    /// filesystem.
    package func checkpoint(to directory: String) throws(StoreError) {
        try database.checkpoint(to: directory)
        try Self.syncParent(of: directory)
    }

    /// Removes the store in `directory`, which must not be open.
    package static func destroy(directory: String) throws(StoreError) {
        let options = rocksdb_options_create()
        defer { rocksdb_options_destroy(options) }
        try RocksDatabase.check { error in rocksdb_destroy_db(options, directory, &error) }
    }
}

/// A `RocksStore` as it was.
///
/// Sendable without checking: RocksDB documents snapshots and reads as safe from any thread, and nothing here changes.
private final class RocksSnapshot: OrderedReader, @unchecked Sendable {
    private let database: RocksDatabase
    private let snapshot: OpaquePointer?

    init(_ database: RocksDatabase) {
        self.database = database
        snapshot = database.makeSnapshot()
    }

    deinit { database.release(snapshot) }

    func get(_ key: [UInt8]) throws(StoreError) -> [UInt8]? { try database.get(key, snapshot: snapshot) }

    func scan(
        from lower: [UInt8], to upper: [UInt8]?, _ visit: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(StoreError) {
        try database.scan(from: lower, to: upper, snapshot: snapshot, visit)
    }
}
