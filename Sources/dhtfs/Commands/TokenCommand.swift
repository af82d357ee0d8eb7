import Credentials
import Daemon
import Glibc
import Model
import Ring
import Runtime

/// `dhtfs token create`.
enum TokenCommand {
    static let command = Command(
        name: "token create", summary: "make a token with which one machine may join",
        flags: [.data, .config, .set, Flag("--lifetime", "HOURS", "how long it is good, 1 to 24 (default 1)"), .json],
        details: "Run it on the node that made the cluster: only that one holds the authority's key. The token is a secret; it also tells the joining machine whom to trust.",
        run: run)

    @LoopActor private static func run(_ arguments: Arguments) async throws(DaemonError) -> Int32 {
        let settings = try Settings(arguments)
        let token = try await create(settings, lifetimeSeconds: (try arguments.number("--lifetime", 1...24) ?? 1) * 3600)
        Terminal.print(arguments.isOn("--json") ? JSON.object([("token", .string(token.text))]).text : token.text)
        return 0
    }

    /// Makes a token on the node of `settings` that holds the authority's key.
    @LoopActor static func create(_ settings: Settings, lifetimeSeconds: Int) async throws(DaemonError) -> JoinToken {
        var holder: DataDirectory?
        for directory in settings.directories where try directory.authority() != nil { holder = directory }
        guard let holder else {
            throw DaemonError(.dataDirectory, "\(settings.directories[0].path) does not hold the authority's key; run this on the node that made the cluster")
        }
        let client = try ClientStack(Settings(directories: [holder], configuration: settings.configuration), isAdministrative: true)
        let layouts = try await client.services.currentLayouts()
        guard let member = layouts.current.member(holder.node) else { throw DaemonError(.cluster, "node \(holder.node) is not in the layout yet; is its daemon running?") }
        let certificate = try holder.authorityCertificate()
        let secret: [UInt8]
        let fingerprint: [UInt8]
        do throws(CredentialsError) {
            secret = try JoinToken.drawSecret()
            fingerprint = try certificate.fingerprint()
        } catch { throw DaemonError(.system, error.cause) }
        let expiry = client.services.environment.clock.wallTime + Int64(lifetimeSeconds) * 1_000_000_000
        try await JoinTokens.record(secret, expiry: expiry, through: client.services.metadataClient(name: "token create", hasSession: false))
        return JoinToken(cluster: holder.cluster, fingerprint: fingerprint, secret: secret, node: holder.node, host: member.address.host, port: member.address.port)
    }
}
