import Daemon

/// What this program is.
enum Version {
    /// Semantic version (semver.org).
    static let number = "0.1.0"
    static let line = "dhtfs \(number) (data directory format \(DataDirectory.formatVersion))"
}
