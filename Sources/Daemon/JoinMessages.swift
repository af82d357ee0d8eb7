package import Bytes
package import Model

/// A machine asks to become a node: the body of `RequestKind.join`.
package struct JoinRequest: Equatable, Sendable, ByteCodable {
    /// From the token.
    package var secret: [UInt8]
    package var node: NodeID
    /// PKCS #10 requests in PEM form.
    package var nodeRequest: [UInt8]
    package var mountRequest: [UInt8]

    package init(secret: [UInt8], node: NodeID, nodeRequest: [UInt8], mountRequest: [UInt8]) {
        self.secret = secret
        self.node = node
        self.nodeRequest = nodeRequest
        self.mountRequest = mountRequest
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        secret = try reader.bytes(max: 64)
        node = try NodeID(from: &reader)
        nodeRequest = try reader.bytes(max: 8192)
        mountRequest = try reader.bytes(max: 8192)
    }

    package func encode(to writer: inout ByteWriter) {
        writer.bytes(secret)
        node.encode(to: &writer)
        writer.bytes(nodeRequest)
        writer.bytes(mountRequest)
    }
}

/// What a machine gets that may join.
package struct JoinReply: Equatable, Sendable, ByteCodable {
    package var nodeCertificate: [UInt8]
    package var mountCertificate: [UInt8]
    /// The authority's certificate, whose fingerprint is in the token.
    package var authorityCertificate: [UInt8]
    /// The present layout, encoded: where the other nodes are.
    package var layout: [UInt8]

    package init(nodeCertificate: [UInt8], mountCertificate: [UInt8], authorityCertificate: [UInt8], layout: [UInt8]) {
        self.nodeCertificate = nodeCertificate
        self.mountCertificate = mountCertificate
        self.authorityCertificate = authorityCertificate
        self.layout = layout
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        nodeCertificate = try reader.bytes(max: 16_384)
        mountCertificate = try reader.bytes(max: 16_384)
        authorityCertificate = try reader.bytes(max: 16_384)
        layout = try reader.bytes(max: 1 << 20)
    }

    package func encode(to writer: inout ByteWriter) {
        writer.bytes(nodeCertificate)
        writer.bytes(mountCertificate)
        writer.bytes(authorityCertificate)
        writer.bytes(layout)
    }
}

/// Names and contents of the cluster records that the metadata service keeps for the daemons.
package enum ClusterRecord {
    /// A `Layout`.
    package static let layout = "layout"
    /// Followed by the hexadecimal SHA-256 of a token's secret; the value is its expiry, nanoseconds since 1970 as 64 bits.
    package static let tokenPrefix = "token/"
}
