import Runtime

/// What the journal knows of one segment file.
@LoopActor
final class Segment {
    let header: SegmentHeader
    let path: String
    /// Closed when nil; opened again when it is read.
    var file: (any DiskFile)?
    /// For writing zeros beside records; nil while there is no need.
    var zeroFile: (any DiskFile)?
    /// End of the last record.
    var used: UInt64
    /// Where the last record begins; 0 if that is not known or there is none.
    var lastRecord: UInt64 = 0
    var fileBytes: UInt64
    var sealed = false
    /// Made from the disk space that ordinary records may not use.
    var fromReserve = false
    /// Up to here the file was written with zeros ahead of the records.
    var zeroedTo: UInt64
    /// When it was last read, for closing the one that was not read for longest.
    var lastUse: UInt64 = 0

    init(header: SegmentHeader, path: String, file: any DiskFile, used: UInt64, fileBytes: UInt64) {
        self.header = header
        self.path = path
        self.file = file
        self.used = used
        self.fileBytes = fileBytes
        zeroedTo = used
    }

    var number: UInt64 { header.number }

    /// Whether a record of `length` bytes fits and leaves room for the seal.
    func fits(_ length: Int) -> Bool { !sealed && used + UInt64(length) + UInt64(RecordHead.count) <= header.capacity }
}
