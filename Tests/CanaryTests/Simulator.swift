import Foundation

/// Runs of `dhtfs-simulate`, which lies beside the program of the tests.
enum Simulator {
    struct Run {
        var exitCode: Int32
        var output: String
        /// The rules that violations are headed by, as in `names: storm, directory 2`.
        var brokenRules: Set<String> {
            Set(
                output.split(separator: "\n").compactMap { line in
                    guard let colon = line.firstIndex(of: ":"), line[..<colon].allSatisfy(\.isLetter) else { return nil }
                    return String(line[..<colon])
                })
        }
    }

    static var program: URL {
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent().appendingPathComponent("dhtfs-simulate")
    }

    /// Runs it to its end.
    static func run(_ arguments: [String]) throws -> Run {
        let process = Process()
        process.executableURL = program
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Run(exitCode: process.terminationReason == .exit ? process.terminationStatus : -1, output: String(decoding: text, as: UTF8.self))
    }

    /// Runs seeds of a setting.
    static func run(_ setting: CanarySetting, _ arguments: [String]) throws -> Run {
        let script = FileManager.default.temporaryDirectory.appendingPathComponent("dhtfs-faults-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: script) }
        if let faults = setting.faults { try Data((["dhtfs-faults 1"] + faults + [""]).joined(separator: "\n").utf8).write(to: script) }
        return try run(setting.arguments(script: script.path) + arguments)
    }
}
