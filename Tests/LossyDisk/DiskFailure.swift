/// A request failed with this errno.
struct DiskFailure: Error {
    let code: Int32

    init(_ code: Int32) { self.code = code }
}
