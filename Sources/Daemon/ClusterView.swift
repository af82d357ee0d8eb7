import Bytes
package import Ring

/// The newest layout that a node has seen, kept in its data directory so that it, its mounts and its commands find the cluster.
package enum ClusterView {
    /// - Throws: `.dataDirectory` if the file is damaged.
    package static func read(_ path: String) throws(DaemonError) -> LayoutHistory {
        let content = try LocalFile.read(path)
        guard let history = try? LayoutHistory(decoding: content) else {
            throw DaemonError(.dataDirectory, "\(path) is damaged; copy it from another node of the cluster")
        }
        return history
    }

    /// Writes unless the file says the same already.
    package static func write(_ history: LayoutHistory, _ path: String) throws(DaemonError) {
        let content = history.encoded
        if let present = try? LocalFile.read(path), present == content { return }
        try LocalFile.write(content, to: path)
    }
}
