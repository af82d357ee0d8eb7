import Blocks
import Bytes
import Credentials
import Digest
import Model
import Ring
import Runtime
import Telemetry
import Transport

// Machines that want to join.
extension DaemonService {
    /// Answers a `join`: redeems the token, which is good once, and signs the certificates.
    func admit(_ message: Message) async throws(TransportError) -> Message {
        let request: JoinRequest
        do throws(DecodeError) { request = try JoinRequest(decoding: message.body) } catch { throw TransportError(.malformed, "join: \(error)") }
        let authority: CertificateAuthority?
        do throws(DaemonError) { authority = try directory.authority() } catch { throw TransportError(.failed, error.cause) }
        guard let authority else { throw TransportError(.denied, "this node does not hold the authority's key; use a token of the node that does") }
        guard request.node.rawValue != 0, services.layouts.rings.layouts.current.member(request.node) == nil else {
            throw TransportError(.denied, "there is a node with this id already")
        }
        do throws(DaemonError) {
            try await JoinTokens.redeem(request.secret, now: services.environment.clock.wallTime, through: services.client)
        } catch {
            log.warning("join refused", ["node": "\(request.node)", "reason": error.cause])
            throw TransportError(error.code == .cluster ? .unavailable : .denied, error.cause)
        }
        do throws(CredentialsError) {
            let made = try NodeMaker.issue(
                authority, node: request.node, nodeRequest: CertificateRequest(pem: request.nodeRequest),
                mountRequest: CertificateRequest(pem: request.mountRequest))
            log.info("admitted", ["node": "\(request.node)"])
            let reply = JoinReply(
                nodeCertificate: made.node.pem, mountCertificate: made.mount.pem, authorityCertificate: authority.certificate.pem,
                layout: services.layouts.rings.layouts.encoded)
            return Message(body: reply.encoded)
        } catch { throw TransportError(.malformed, error.cause) }
    }
}
