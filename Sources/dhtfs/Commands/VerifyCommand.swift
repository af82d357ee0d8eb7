import Bytes
import Daemon
import Metadata
import Model
import Namespace
import OrderedStore
import Ring
import Runtime
import Transport
import Verification
import Wire

/// `dhtfs verify`.
enum VerifyCommand {
    static let command = Command(
        name: "verify", summary: "check the namespace and every copy of every block, while in use", operands: ["[PATH]"],
        flags: [
            .data, .config, .set, Flag("--deep", nil, "read and hash every copy, not only ask for it"),
            Flag("--repair", nil, "replace missing and corrupt copies by good ones"), .json,
        ],
        details: """
            Without --repair nothing is changed. With PATH only the blocks of files at or below it are checked.
            Exit codes as of fsck(8): 0 clean, 1 everything was repaired, 4 something is left, 8 could not run.
            """, failureExit: 8, run: run)

    @LoopActor private static func run(_ arguments: Arguments) async throws(DaemonError) -> Int32 {
        let client = try ClientStack(try Settings(arguments), isAdministrative: true)
        let layouts = try await client.services.currentLayouts()
        let display = VerifyDisplay()
        let source = NamespaceCopy(client.services.metadataClient(name: "verify", hasSession: false))
        let checker = Checker(
            rings: RingHistory(layouts), replicas: client.services.replicas, clock: client.services.environment.clock,
            rows: { progress throws(VerificationError) in try await source.copy(progress) }, progress: { display.show($0) })
        var options = Checker.Options()
        options.isDeep = arguments.isOn("--deep")
        if let path = arguments.operand(0) { options.path = try Tree.names(path) }
        var report: Report
        do throws(VerificationError) { report = try await checker.check(options) } catch {
            display.end()
            throw DaemonError(.cluster, error.cause)
        }
        if arguments.isOn("--repair"), report.findings.contains(where: \.isRepairable) { report = await checker.repair(report) }
        display.end()
        if arguments.isOn("--json") {
            Terminal.print(json(report).text)
        } else {
            show(report, isDeep: options.isDeep, dataPath: Settings.dataPath(arguments), path: arguments.operand(0))
        }
        return report.exitCode
    }

    private static func show(_ report: Report, isDeep: Bool, dataPath: String, path: String?) {
        for finding in report.findings {
            var line = "\(finding.problem.rawValue): "
            if !finding.paths.isEmpty { line += finding.paths.joined(separator: ", ") + ": " }
            if let inode = finding.inode, finding.paths.isEmpty { line += "inode \(inode): " }
            if let block = finding.block { line += "block \(block): " }
            Terminal.print(line + finding.detail)
        }
        Terminal.print(
            "checked \(report.inodes) inodes, \(report.blocks) blocks, \(report.replicasChecked) copies"
                + (isDeep ? ", read \(Terminal.bytes(report.bytesRead))" : "") + " as of log index \(report.appliedIndex)")
        if !report.unreferenced.isEmpty {
            let bytes = report.unreferenced.reduce(0) { $0 + UInt64($1.length) }
            Terminal.print("\(report.unreferenced.count) copies (\(Terminal.bytes(bytes))) belong to no file; writes under way look like this, too")
        }
        if report.repaired > 0 { Terminal.print("repaired \(report.repaired) copies") }
        if report.findings.isEmpty {
            Terminal.print("clean")
            return
        }
        Terminal.print(report.findings.count == 1 ? "1 problem left" : "\(report.findings.count) problems left")
        if report.findings.contains(where: \.isRepairable) {
            Terminal.print("to repair: dhtfs verify --data \(dataPath)\(isDeep ? " --deep" : "") --repair\(path.map { " " + $0 } ?? "")")
        }
    }

    private static func json(_ report: Report) -> JSON {
        .object([
            ("clean", .boolean(report.findings.isEmpty)), ("repaired", .count(report.repaired)), ("applied_index", .count(report.appliedIndex)),
            ("inodes", .count(report.inodes)), ("blocks", .count(report.blocks)), ("replicas_checked", .count(report.replicasChecked)),
            ("replicas_read", .count(report.replicasRead)), ("bytes_read", .count(report.bytesRead)),
            (
                "findings",
                .array(
                    report.findings.map { finding in
                        .object([
                            ("problem", .string(finding.problem.rawValue)), ("path", finding.paths.first.map { .string($0) } ?? .null),
                            ("paths", .array(finding.paths.map { .string($0) })), ("inode", finding.inode.map { .count($0.rawValue) } ?? .null),
                            ("block", finding.block.map { .string("\($0)") } ?? .null), ("node", finding.node.map { .string("\($0)") } ?? .null),
                            ("detail", .string(finding.detail)), ("repairable", .boolean(finding.isRepairable)),
                        ])
                    })
            ),
            (
                "unreferenced",
                .array(
                    report.unreferenced.map {
                        .object([("block", .string("\($0.block)")), ("node", .string("\($0.node)")), ("length", .integer(Int64($0.length)))])
                    })
            ),
        ])
    }
}

/// The progress line of a verification.
@LoopActor
private final class VerifyDisplay: Sendable {
    private var line: ProgressLine?

    func show(_ progress: Checker.Progress) {
        switch progress {
        case .rows(let count): Terminal.progress("reading the namespace: \(count) rows")
        case .listing(let node, let blocks): Terminal.progress("listing node \(node): \(blocks) blocks")
        case .reading(let done, let total):
            if line == nil { line = ProgressLine("reading copies", total: total) }
            line?.update(done) { Terminal.bytes($0) }
        case .repairing(let done, let total): Terminal.progress("repairing: \(done) of \(total) copies")
        }
    }

    func end() { Terminal.endProgress() }
}
