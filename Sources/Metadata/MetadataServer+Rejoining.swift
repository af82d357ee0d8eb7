import Consensus
import Model
import Runtime
import Telemetry

// What a server says about itself while it has no log that can be trusted.
extension MetadataServer {
    /// Between two warnings that nobody has admitted this server.
    private static let warningPeriod = 30 * Nanoseconds.second

    func standingChanged(_ standing: Standing) {
        switch standing {
        case .recovering:
            log.error(
                "the metadata log here lacks what this node acknowledged, so an older copy was put back; neither votes nor acknowledges until a leader "
                    + "admits it anew", ["leader": leader?.description ?? "unknown"])
            waitForAdmission()
        case .admitted(let index):
            nextWarning = .max
            log.info("was admitted to the metadata group", ["leader": leader?.description ?? "unknown", "index": "\(index)"])
        case .trusted:
            nextWarning = .max
            log.info("has caught up with the metadata log", ["index": "\(raft.commitIndex)"])
        }
    }

    func waitForAdmission() { nextWarning = now + Self.warningPeriod }

    func warnIfNotAdmitted() {
        guard now >= nextWarning else { return }
        nextWarning = now + Self.warningPeriod
        log.error(
            leader == nil
                ? "has no metadata log that can be trusted, and no leader is heard that could admit this node: a majority of the other voters must be up; "
                    + "if this node was the only voter, restore its data directory from a backup"
                : "has no metadata log that can be trusted, and the leader has not admitted this node yet: most of the other voters must be up",
            ["leader": leader?.description ?? "none"])
    }
}
