import Bytes
import Digest
package import Metadata
import Namespace

/// Tokens on record: the hash of the secret and when it expires; removed when it is used.
package enum JoinTokens {
    /// Puts a token on record.
    /// - Parameter expiry: nanoseconds since 1970.
    package static func record(_ secret: [UInt8], expiry: Int64, through client: any MetadataClient) async throws(DaemonError) {
        var writer = ByteWriter()
        writer.integer(expiry)
        let outcome = try await set(secret, version: 0, value: writer.bytes, client)
        guard case .recordSet = outcome else { throw DaemonError(.cluster, "the token was refused: \(outcome)") }
    }

    /// Uses a token up.
    /// - Throws: `.usage` if it is unknown, used or expired; `.cluster` if the service cannot be asked.
    package static func redeem(_ secret: [UInt8], now: Int64, through client: any MetadataClient) async throws(DaemonError) {
        let refusal = DaemonError(.usage, "the token is unknown, was used already, or has expired; make a new one with `dhtfs token create`")
        let reply: QueryReply
        do throws(MetadataError) { reply = try await client.query(.record(key: key(secret))) } catch { throw DaemonError(.cluster, error.cause) }
        guard case .record(let value, let version) = reply.answer else { throw refusal }
        let expiry: Int64? = value.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            return try? reader.integer(Int64.self)
        }
        // Whoever removes the record has the token; a second join at the same time finds another version.
        guard case .recordSet = try await set(secret, version: version, value: nil, client) else { throw refusal }
        guard let expiry, now < expiry else { throw refusal }
    }

    private static func set(_ secret: [UInt8], version: UInt64, value: [UInt8]?, _ client: any MetadataClient) async throws(DaemonError) -> Outcome {
        do throws(MetadataError) {
            return try await client.perform(.setRecord(key: key(secret), expectedVersion: version, value: value))
        } catch { throw DaemonError(.cluster, error.cause) }
    }

    private static func key(_ secret: [UInt8]) -> String { ClusterRecord.tokenPrefix + SHA256.key(of: secret).description }
}
