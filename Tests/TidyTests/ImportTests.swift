import Foundation
import Testing

/// The directions of DESIGN §2: a module imports only modules of lower layers. Siblings that may import each other are named.
@Suite struct ImportTests {
    private static let layers: [[String]] = [
        ["CFuse", "COpenSSL", "CUV", "CRocksDB", "CZstd", "CPosix"],
        ["Bytes", "Model", "OrderedStore", "Digest", "Telemetry", "Runtime", "Credentials"],
        ["Wire", "Ring", "Membership", "Consensus", "Namespace"],
        ["RocksStore", "Journal", "BlockStore", "Transport", "Metadata", "Blocks"],
        ["Filesystem", "Verification"],
        ["FuseMount"],
        ["Daemon", "dhtfs"],
    ]

    /// Within a layer: who may import whom.
    private static let siblings: [String: Set<String>] = [
        "Model": ["Bytes"], "Digest": ["Bytes"], "Runtime": ["Bytes", "Model", "Telemetry"], "Credentials": ["Bytes", "Model"],
        "BlockStore": ["Journal"], "Metadata": ["Journal", "Transport"], "Blocks": ["BlockStore", "Transport"], "dhtfs": ["Daemon"],
    ]

    /// The C library is for whoever talks to the system; Foundation and Dispatch for nobody.
    private static let noLibc: Set<String> = ["Wire", "Ring", "Membership", "Consensus", "Namespace", "Model"]
    private static let neverImported: Set<String> = ["Foundation", "FoundationEssentials", "Dispatch"]

    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    @Test func modulesImportOnlyLowerLayers() throws {
        var checked = 0
        for (layer, modules) in Self.layers.enumerated() where layer > 0 {
            for module in modules {
                for file in try Self.sources(of: module) {
                    for imported in try Self.imports(in: file) {
                        checked += 1
                        #expect(!Self.neverImported.contains(imported), "\(file.lastPathComponent) of \(module) imports \(imported)")
                        if ["Glibc", "Synchronization"].contains(imported) {
                            #expect(!Self.noLibc.contains(module), "\(file.lastPathComponent) of the pure module \(module) imports \(imported)")
                            continue
                        }
                        guard let other = Self.layers.firstIndex(where: { $0.contains(imported) }) else {
                            Issue.record("\(file.lastPathComponent) of \(module) imports \(imported), which is in no layer")
                            continue
                        }
                        let allowed = other < layer || (other == layer && Self.siblings[module, default: []].contains(imported))
                        #expect(allowed, "\(file.lastPathComponent) of \(module) (layer \(layer)) imports \(imported) (layer \(other))")
                    }
                }
            }
        }
        #expect(checked > 300, "the check found hardly any imports: it looks in the wrong place")
    }

    @Test func everyModuleHasALayer() throws {
        let manager = FileManager.default
        let known = Set(Self.layers.joined())
        for folder in ["Sources", "Mount"] {
            for name in try manager.contentsOfDirectory(atPath: Self.root.appendingPathComponent(folder).path) {
                var isDirectory: ObjCBool = false
                let path = Self.root.appendingPathComponent(folder).appendingPathComponent(name).path
                guard manager.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue else { continue }
                let hasSwift = try manager.subpathsOfDirectory(atPath: path).contains { $0.hasSuffix(".swift") || $0.hasSuffix("module.modulemap") }
                if hasSwift { #expect(known.contains(name), "\(folder)/\(name) is in no layer") }
            }
        }
    }

    /// The sources stay readable: no file over 600 lines, no line over 140 columns with room for a long string, no leftovers.
    @Test func filesStaySmallAndFinished() throws {
        let leftover = ["TO" + "DO", "FIX" + "ME", "X" + "XX"]
        for module in Self.layers.dropFirst().joined() {
            for file in try Self.sources(of: module) {
                let text = try String(contentsOf: file, encoding: .utf8)
                let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
                #expect(lines.count <= 600, "\(file.lastPathComponent) has \(lines.count) lines")
                for word in leftover { #expect(!text.contains(word), "\(file.lastPathComponent) has a \(word)") }
                for trap in ["try" + "! ", " as" + "! "] { #expect(!text.contains(trap), "\(file.lastPathComponent) has \(trap)") }
            }
        }
    }

    private static func sources(of module: String) throws -> [URL] {
        for folder in ["Sources", "Mount"] {
            let directory = root.appendingPathComponent(folder).appendingPathComponent(module)
            guard FileManager.default.fileExists(atPath: directory.path) else { continue }
            return try FileManager.default.subpathsOfDirectory(atPath: directory.path)
                .filter { $0.hasSuffix(".swift") }
                .map { directory.appendingPathComponent($0) }
        }
        Issue.record("module \(module) has no folder")
        return []
    }

    /// Names after `import`, whatever its access level.
    private static func imports(in file: URL) throws -> [String] {
        try String(contentsOf: file, encoding: .utf8).split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ").drop { ["package", "internal", "public", "private", "@testable", "@_exported"].contains($0) }
            guard words.first == "import", let name = words.dropFirst().last else { return nil }
            return name.split(separator: ".").first.map(String.init)
        }
    }
}
