import Glibc

enum TextFile {
    /// - Throws: one line with the system's reason.
    static func read(_ path: String) throws(OptionError) -> String {
        guard let file = fopen(path, "r") else { throw OptionError(cause: "cannot open \(path): \(String(cString: strerror(errno)))") }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&part, 1, part.count, file)
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += part[..<count]
        }
    }
}
