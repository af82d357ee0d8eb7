package import Bytes

/// How to reach a daemon.
package struct NodeAddress: Hashable, Sendable, ByteCodable {
    /// A name or an IP address, without brackets.
    package var host: String
    package var port: UInt16
    /// Tells whether two processes run on one machine: then `socketPath` is preferred. At most 64 bytes.
    package var machine: String
    /// Absolute path of the daemon's Unix socket on its own machine; empty for none.
    package var socketPath: String

    package init(host: String, port: UInt16, machine: String, socketPath: String) {
        self.host = host
        self.port = port
        self.machine = machine
        self.socketPath = socketPath
    }

    package init(from reader: inout ByteReader) throws(DecodeError) {
        host = try reader.string(max: 255)
        port = try reader.integer()
        machine = try reader.string(max: 64)
        socketPath = try reader.string(max: 107)
    }

    package func encode(to writer: inout ByteWriter) {
        writer.string(host)
        writer.integer(port)
        writer.string(machine)
        writer.string(socketPath)
    }
}
