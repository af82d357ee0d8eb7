import Foundation
import Testing

/// Faults on purpose are in no release: see `Canary`.
@Suite struct CanarySwitchTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    @Test func everyUseIsUnderTheSwitch() throws {
        var uses = 0
        for folder in ["Sources", "Mount"] {
            let directory = Self.root.appendingPathComponent(folder)
            for path in try FileManager.default.subpathsOfDirectory(atPath: directory.path)
            where path.hasSuffix(".swift") && path != "Model/Canary.swift" {
                // For each open condition, whether it is the switch.
                var conditions: [Bool] = []
                let text = try String(contentsOf: directory.appendingPathComponent(path), encoding: .utf8)
                for line in text.split(separator: "\n") {
                    let words = line.split(separator: " ")
                    switch words.first {
                    case "#if": conditions.append(words.dropFirst() == ["CANARIES"])
                    case "#else", "#elseif": if !conditions.isEmpty { conditions[conditions.count - 1] = false }
                    case "#endif": _ = conditions.popLast()
                    default:
                        guard line.contains("Canary.") else { continue }
                        uses += 1
                        #expect(conditions.contains(true), "\(path) has a canary that a release would have too: \(line)")
                    }
                }
            }
        }
        #expect(uses >= 10, "the check found hardly any canaries: it looks in the wrong place")
    }

    @Test func theSwitchIsOfDebugBuilds() throws {
        let manifest = try String(contentsOf: Self.root.appendingPathComponent("Package.swift"), encoding: .utf8)
        let lines = manifest.split(separator: "\n").filter { $0.contains("\"CANARIES\"") }.map { $0.trimmingCharacters(in: .whitespaces) }
        #expect(lines == [#".define("CANARIES", .when(configuration: .debug)),"#])
    }
}
