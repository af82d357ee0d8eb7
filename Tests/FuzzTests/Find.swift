import Glibc

/// An input that once broke a decoder, kept as hexadecimal text: `finds/<target>/<name>.hex`. Lines that begin with `#` say what it broke.
struct Find {
    let path: String
    let bytes: [UInt8]

    /// All finds of one target, in the order of their names.
    static func all(of target: String) throws(Violation) -> [Find] {
        let directory = root + "/" + target
        var finds: [Find] = []
        for name in names(in: directory) where name.hasSuffix(".hex") {
            let path = directory + "/" + name
            guard let bytes = parse(read(path)) else { throw Violation("\(path) is not hexadecimal text") }
            finds.append(Find(path: path, bytes: bytes))
        }
        return finds
    }

    /// Names of the targets that have finds.
    static var targets: [String] { names(in: root) }

    private static let root: String = {
        let file = #filePath
        return String(file[..<(file.lastIndex(of: "/") ?? file.endIndex)]) + "/finds"
    }()

    private static func names(in path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    private static func read(_ path: String) -> String {
        guard let file = fopen(path, "r") else { return "?" }
        defer { fclose(file) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { content += chunk[..<count] }
        return String(decoding: content, as: UTF8.self)
    }

    private static func parse(_ text: String) -> [UInt8]? {
        let digits = text.split(separator: "\n").filter { !$0.hasPrefix("#") }.joined().filter { !$0.isWhitespace }
        guard digits.utf8.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        var rest = digits[...]
        while !rest.isEmpty {
            guard let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
            bytes.append(byte)
            rest = rest.dropFirst(2)
        }
        return bytes
    }
}
