import CRocksDB
import Glibc
import OrderedStore

/// The open database and the options of its calls; closed when nobody has it any more.
///
/// Sendable without checking: the pointers never change between `init` and `deinit`, and RocksDB documents reads, writes and snapshots of
/// one database as safe from several threads; option objects are only read.
final class RocksDatabase: @unchecked Sendable {
    private static let writeBufferBytes = 16 << 20
    private static let cacheBytes = 16 << 20
    private static let openFilesMax: CInt = 256

    private let durability: RocksStore.Durability
    private let database: OpaquePointer
    private let readOptions = rocksdb_readoptions_create()
    private let writeOptions = rocksdb_writeoptions_create()
    private let flushOptions = rocksdb_flushoptions_create()

    init(directory: String, durability: RocksStore.Durability) throws(StoreError) {
        self.durability = durability
        let options = Self.options()
        defer { rocksdb_options_destroy(options) }
        var error: UnsafeMutablePointer<CChar>?
        guard let database = rocksdb_open(options, directory, &error), error == nil else {
            throw Self.storeError(error)
        }
        self.database = database
        rocksdb_writeoptions_set_sync(writeOptions, 0)
        rocksdb_writeoptions_disable_WAL(writeOptions, durability == .flushed ? 1 : 0)
        rocksdb_flushoptions_set_wait(flushOptions, 1)
        try Self.syncParent(of: directory)
    }

    /// RocksDB syncs what is in its directory, but not the directory's own name.
    private static func syncParent(of directory: String) throws(StoreError) {
        let parent = open(directory + "/..", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard parent >= 0 else { throw StoreError(.failed, "cannot open the directory of \(directory): \(String(cString: strerror(errno)))") }
        defer { close(parent) }
        guard fsync(parent) == 0 else { throw StoreError(.failed, "cannot sync the directory of \(directory): \(String(cString: strerror(errno)))") }
    }

    deinit {
        rocksdb_flushoptions_destroy(flushOptions)
        rocksdb_writeoptions_destroy(writeOptions)
        rocksdb_readoptions_destroy(readOptions)
        rocksdb_close(database)
    }

    private static func options() -> OpaquePointer? {
        let options = rocksdb_options_create()
        rocksdb_options_set_create_if_missing(options, 1)
        rocksdb_options_set_write_buffer_size(options, writeBufferBytes)
        rocksdb_options_set_max_write_buffer_number(options, 2)
        rocksdb_options_set_max_open_files(options, openFilesMax)
        rocksdb_options_set_max_background_jobs(options, 2)
        rocksdb_options_set_max_file_opening_threads(options, 1)
        rocksdb_options_set_compression(options, CInt(rocksdb_lz4_compression))
        rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1)
        // Periodic threads of RocksDB that would wake an idle process.
        rocksdb_options_set_stats_dump_period_sec(options, 0)
        rocksdb_options_set_stats_persist_period_sec(options, 0)
        // Its own text log: only warnings, bounded.
        rocksdb_options_set_info_log_level(options, 2)
        rocksdb_options_set_max_log_file_size(options, 1 << 20)
        rocksdb_options_set_keep_log_file_num(options, 2)
        rocksdb_options_set_max_manifest_file_size(options, 16 << 20)
        rocksdb_options_set_max_total_wal_size(options, 64 << 20)
        // Most rows that are asked for lie in files: a filter tells that the memory tables, a twentieth larger for it, need no search.
        rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, 0.05)
        rocksdb_options_set_memtable_whole_key_filtering(options, 1)

        let table = rocksdb_block_based_options_create()
        // In one piece: of thirty-two each would hold less than one block of a large file's filter.
        let cacheOptions = rocksdb_lru_cache_options_create()
        rocksdb_lru_cache_options_set_capacity(cacheOptions, cacheBytes)
        rocksdb_lru_cache_options_set_num_shard_bits(cacheOptions, 0)
        let cache = rocksdb_cache_create_lru_opts(cacheOptions)
        rocksdb_lru_cache_options_destroy(cacheOptions)
        rocksdb_block_based_options_set_block_cache(table, cache)
        // Index and filter blocks count against the cache, so that memory does not grow with the store.
        rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1)
        rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1)
        // Indices and filters in small blocks: the whole of a large file's would have to be read and checked whenever the cache does not hold it.
        rocksdb_block_based_options_set_index_type(table, CInt(rocksdb_block_based_table_index_type_two_level_index_search))
        rocksdb_block_based_options_set_partition_filters(table, 1)
        rocksdb_block_based_options_set_pin_top_level_index_and_filter(table, 1)
        // The table options own the filter policy from here on.
        rocksdb_block_based_options_set_filter_policy(table, rocksdb_filterpolicy_create_bloom_full(10))
        rocksdb_options_set_block_based_table_factory(options, table)
        // Both are shared with the options; these calls let go of this side's share.
        rocksdb_cache_destroy(cache)
        rocksdb_block_based_options_destroy(table)
        return options
    }

    func get(_ key: [UInt8], snapshot: OpaquePointer?) throws(StoreError) -> [UInt8]? {
        // Counters of this thread, which nobody asks for: a twentieth of what a row costs.
        rocksdb_set_perf_level(CInt(rocksdb_disable))
        let options = readOptions(for: snapshot)
        defer { if snapshot != nil { rocksdb_readoptions_destroy(options) } }
        var error: UnsafeMutablePointer<CChar>?
        let slice = key.withUnsafeBytes { key in
            rocksdb_get_pinned(database, options, key.baseAddress?.assumingMemoryBound(to: CChar.self) ?? Self.nothing, key.count, &error)
        }
        guard error == nil else { throw Self.storeError(error) }
        guard let slice else { return nil }
        defer { rocksdb_pinnableslice_destroy(slice) }
        var count = 0
        let bytes = rocksdb_pinnableslice_value(slice, &count)
        return [UInt8](UnsafeRawBufferPointer(start: bytes, count: count))
    }

    func scan(
        from lower: [UInt8], to upper: [UInt8]?, snapshot: OpaquePointer?,
        _ visit: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
    ) throws(StoreError) {
        let options = rocksdb_readoptions_create()
        defer { rocksdb_readoptions_destroy(options) }
        if let snapshot { rocksdb_readoptions_set_snapshot(options, snapshot) }
        // The options only point to the bound, so it must outlive the iterator.
        let bound = (upper ?? []).withUnsafeBytes { source in
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(source.count, 1), alignment: 1)
            copy.copyMemory(from: source)
            return copy
        }
        defer { bound.deallocate() }
        if let upper {
            rocksdb_readoptions_set_iterate_upper_bound(options, bound.baseAddress?.assumingMemoryBound(to: CChar.self), upper.count)
        }
        let iterator = rocksdb_create_iterator(database, options)
        defer { rocksdb_iter_destroy(iterator) }
        lower.withUnsafeBytes { lower in
            rocksdb_iter_seek(iterator, lower.baseAddress?.assumingMemoryBound(to: CChar.self) ?? Self.nothing, lower.count)
        }
        while rocksdb_iter_valid(iterator) != 0 {
            var keyCount = 0
            var valueCount = 0
            let key = rocksdb_iter_key(iterator, &keyCount)
            let value = rocksdb_iter_value(iterator, &valueCount)
            let proceed = visit(
                UnsafeRawBufferPointer(start: key, count: keyCount), UnsafeRawBufferPointer(start: value, count: valueCount))
            guard proceed else { break }
            rocksdb_iter_next(iterator)
        }
        try Self.check { error in rocksdb_iter_get_error(iterator, &error) }
    }

    func write(_ batch: WriteBatch) throws(StoreError) {
        let rows = rocksdb_writebatch_create()
        defer { rocksdb_writebatch_destroy(rows) }
        for operation in batch.sorted {
            switch operation {
            case .put(let key, let value):
                Self.withCharacters(key) { key, keyCount in
                    Self.withCharacters(value) { value, valueCount in rocksdb_writebatch_put(rows, key, keyCount, value, valueCount) }
                }
            case .delete(let key):
                Self.withCharacters(key) { key, keyCount in rocksdb_writebatch_delete(rows, key, keyCount) }
            }
        }
        try Self.check { error in rocksdb_write(database, writeOptions, rows, &error) }
    }

    func flush() throws(StoreError) {
        switch durability {
        case .flushed: try Self.check { error in rocksdb_flush(database, flushOptions, &error) }
        case .logged: try Self.check { error in rocksdb_flush_wal(database, 1, &error) }
        }
    }

    func checkpoint(to directory: String) throws(StoreError) {
        var error: UnsafeMutablePointer<CChar>?
        guard let checkpoint = rocksdb_checkpoint_object_create(database, &error), error == nil else { throw Self.storeError(error) }
        defer { rocksdb_checkpoint_object_destroy(checkpoint) }
        // A log size of 0: memory tables are flushed first, so that the links hold everything.
        try Self.check { error in rocksdb_checkpoint_create(checkpoint, directory, 0, &error) }
    }

    func makeSnapshot() -> OpaquePointer? { rocksdb_create_snapshot(database) }
    func release(_ snapshot: OpaquePointer?) { rocksdb_release_snapshot(database, snapshot) }

    // MARK: C

    /// For calls that want a pointer even to no bytes.
    private nonisolated(unsafe) static let nothing = UnsafePointer(UnsafeMutablePointer<CChar>.allocate(capacity: 1))

    private func readOptions(for snapshot: OpaquePointer?) -> OpaquePointer? {
        guard let snapshot else { return readOptions }
        let options = rocksdb_readoptions_create()
        rocksdb_readoptions_set_snapshot(options, snapshot)
        return options
    }

    private static func withCharacters(_ bytes: [UInt8], _ body: (UnsafePointer<CChar>, Int) -> Void) {
        bytes.withUnsafeBytes { body($0.baseAddress?.assumingMemoryBound(to: CChar.self) ?? nothing, $0.count) }
    }

    /// Runs a call that reports errors through its last argument.
    static func check(_ call: (inout UnsafeMutablePointer<CChar>?) -> Void) throws(StoreError) {
        var error: UnsafeMutablePointer<CChar>?
        call(&error)
        guard error == nil else { throw storeError(error) }
    }

    /// Takes over the text that RocksDB allocated, which begins with the status code (util/status.cc: "Corruption: ", "IO error: ").
    private static func storeError(_ text: UnsafeMutablePointer<CChar>?) -> StoreError {
        guard let text else { return StoreError(.failed, "RocksDB failed without a reason") }
        defer { rocksdb_free(text) }
        let cause = String(cString: text)
        if cause.hasPrefix("Corruption") { return StoreError(.corrupt, cause) }
        if cause.contains("No space left") || cause.contains("Disk quota exceeded") { return StoreError(.noSpace, cause) }
        return StoreError(.failed, cause)
    }
}
