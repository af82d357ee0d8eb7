package import Bytes

/// Answer to `blockCheck`.
package struct BlockCheckReply: Sendable, Equatable, ByteCodable {
    /// Per key asked for, in order.
    package var conditions: [BlockCondition]

    package init(conditions: [BlockCondition]) { self.conditions = conditions }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        conditions = try reader.array(max: BlockKeysRequest.checkedKeysMax) { (reader: inout ByteReader) throws(DecodeError) in
            guard let condition = BlockCondition(rawValue: try reader.integer()) else { throw .invalid("condition of a block") }
            return condition
        }
    }

    package func encode(to writer: inout ByteWriter) { writer.array(conditions) { $0.integer($1.rawValue) } }
}
