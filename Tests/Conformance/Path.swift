/// A path relative to the directory of a case, or to an open directory. Any bytes.
package struct Path: Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The descriptor of the directory it starts from; nil: the directory of the case.
    package var directory: Int?
    package var bytes: [UInt8]

    package init(_ bytes: [UInt8], at directory: Int? = nil) {
        self.bytes = bytes
        self.directory = directory
    }

    package init(_ text: String, at directory: Int? = nil) { self.init(Array(text.utf8), at: directory) }
    package init(stringLiteral text: String) { self.init(text) }

    package static func / (path: Path, name: String) -> Path { Path(path.bytes + [0x2F] + Array(name.utf8), at: path.directory) }

    package var description: String {
        let text = bytes.count <= 80 ? Self.shown(bytes) : Self.shown(bytes.prefix(20)) + "…(\(bytes.count) bytes)"
        return directory.map { "[\($0)]/\(text)" } ?? "\"\(text)\""
    }

    /// Bytes for people: printable ones as they are.
    package static func shown(_ bytes: some Sequence<UInt8>) -> String {
        var text = ""
        for byte in bytes {
            if (0x20..<0x7F).contains(byte), byte != 0x5C { text.unicodeScalars.append(Unicode.Scalar(byte)) } else { text += "\\" + String(byte, radix: 16) }
        }
        return text
    }
}
