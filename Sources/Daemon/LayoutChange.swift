import Bytes
package import Metadata
import Namespace
package import Ring

/// Changes of the layout on record.
package enum LayoutChange {
    /// Tries again this often when another change came in between.
    private static let attemptsMax = 16

    /// Puts `member` into the layout, new or with its present address, weight and zone.
    /// - Parameter founding: what is put on record if there is no layout yet.
    package static func put(_ member: LayoutMember, founding: LayoutHistory, through client: any MetadataClient) async throws(DaemonError) {
        for _ in 0..<attemptsMax {
            let (history, version) = try await current(client) ?? (founding, 0)
            let present = history.current.member(member.node)
            if version > 0, present == member { return }
            var changed = history
            if present != member {
                let members = history.current.members.filter { $0.node != member.node } + [member]
                do throws(RingError) {
                    let layout = try Layout(version: history.current.version + 1, replicas: history.current.replicas, members: members)
                    try changed.adopt(layout)
                } catch { throw DaemonError(.cluster, error.cause) }
            }
            let command = Command.setRecord(key: ClusterRecord.layout, expectedVersion: version, value: changed.encoded)
            let outcome: Outcome
            do throws(MetadataError) { outcome = try await client.perform(command) } catch { throw DaemonError(.cluster, error.cause) }
            switch outcome {
            case .recordSet: return
            case .failed(.conflict): continue
            default: throw DaemonError(.cluster, "the layout was refused: \(outcome)")
            }
        }
        throw DaemonError(.cluster, "the layout changes too often; try again later")
    }

    /// The layout on record with the record's version; nil if there is none.
    package static func current(_ client: any MetadataClient) async throws(DaemonError) -> (LayoutHistory, UInt64)? {
        let reply: QueryReply
        do throws(MetadataError) { reply = try await client.query(.record(key: ClusterRecord.layout)) } catch { throw DaemonError(.cluster, error.cause) }
        switch reply.answer {
        case .record(let value, let version):
            guard let history = try? LayoutHistory(decoding: value) else { throw DaemonError(.cluster, "the layout on record cannot be read") }
            return (history, version)
        default: return nil
        }
    }
}
