import Foundation

/// A directory that goes away with the value.
final class TemporaryDirectory {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "dhtfs-namespace-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func copy(_ source: String, to target: String) throws { try FileManager.default.copyItem(atPath: source, toPath: target) }

    /// Flips a byte in the first block of each table file.
    func damageTables(in directory: String) throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: directory) where name.hasSuffix(".sst") {
            let url = URL(fileURLWithPath: directory + "/" + name)
            var bytes = try Data(contentsOf: url)
            bytes[bytes.startIndex + 20] ^= 0xFF
            try bytes.write(to: url)
        }
    }
}
