"""Who is refused, and that nothing else notices."""

import os
import socket
import subprocess

from cluster import Cluster, check, free_port_range, run, wait_until


def log_lines(cluster, number, text):
    return [line for line in open(f"{cluster.data}/node{number}/daemon.log") if text in line]


def connect_with(cluster, certificate, key, authority=None):
    """A TLS client with this certificate, as another daemon would be."""
    words = ["openssl", "s_client", "-connect", f"127.0.0.1:{cluster.port}", "-tls1_3", "-quiet", "-ign_eof"]
    if certificate:
        words += ["-cert", certificate, "-key", key]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            process.communicate(b"hello\n", timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


def expect_one_refusal(cluster, action, text):
    before = len(log_lines(cluster, 1, "refused"))
    action()
    wait_until(lambda: len(log_lines(cluster, 1, "refused")) > before, f"a line of refusal ({text})")
    lines = log_lines(cluster, 1, "refused")[before:]
    check(len(lines) == 1, f"{len(lines)} lines of refusal instead of one: {lines}")
    check(text in lines[0], f"the refusal does not say \"{text}\": {lines[0]}")
    with open(f"{cluster.mount}/still", "w") as file:
        file.write("works")
        file.flush()
        os.fsync(file.fileno())


def test_strangers_are_refused():
    with Cluster() as cluster, Cluster(nodes=1, replicas=1, mount=False) as stranger:
        tls = f"{stranger.data}/node1/tls"
        expect_one_refusal(cluster, lambda: connect_with(cluster, f"{tls}/node.pem", f"{tls}/node.key"), "certificate")

        directory = cluster.directory
        expired(cluster, directory)
        expect_one_refusal(cluster, lambda: connect_with(cluster, f"{directory}/expired.pem", f"{directory}/expired.key"), "expired")

        def garbage():
            with socket.create_connection(("127.0.0.1", cluster.port)) as plain:
                plain.sendall(os.urandom(4096))
                plain.settimeout(20)
                try:
                    while plain.recv(4096):
                        pass
                except OSError:
                    pass

        expect_one_refusal(cluster, garbage, "TLS")
        check(cluster.status()["healthy"], "the cluster is not healthy after strangers came")


def expired(cluster, directory):
    """A certificate of the cluster's own authority for a real node, that ended yesterday."""
    tls = f"{cluster.data}/node1/tls"
    node = cluster.status()["nodes"][0]["node"]
    identity = cluster.status()["cluster"]
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{directory}/expired.key")
    run("openssl", "req", "-new", "-key", f"{directory}/expired.key", "-subj", "/CN=x", "-out", f"{directory}/expired.csr")
    with open(f"{directory}/san", "w") as file:
        file.write(f"subjectAltName=URI:dhtfs://cluster/{identity}/node/{node}\n")
    run(
        "openssl", "x509", "-req", "-in", f"{directory}/expired.csr", "-CA", f"{tls}/ca.pem", "-CAkey", f"{tls}/ca.key", "-CAcreateserial",
        "-CAserial", f"{directory}/serial", "-days", "-1", "-extfile", f"{directory}/san", "-out", f"{directory}/expired.pem",
    )


def test_token_of_another_cluster_and_used_token():
    with Cluster(nodes=1, replicas=1, mount=False) as cluster, Cluster(nodes=1, replicas=1, mount=False) as stranger:
        foreign = stranger.dhtfs("token", "create", "--data", stranger.data).strip()
        own = cluster.dhtfs("token", "create", "--data", cluster.data).strip()
        port = free_port_range(2)

        def join(token, name, listen):
            return run(cluster.program, "join", token, "--data", f"{cluster.directory}/{name}", "--listen", f"127.0.0.1:{listen}", ok=None)

        # A token of the stranger that was made to point at our daemon: the pinned authority does not match.
        mixed = redirect(foreign, own)
        code, _, errors = join(mixed, "mixed", port)
        check(code == 1 and errors.count("\n") == 1, f"a token of another cluster: {code} {errors}")
        check(not os.path.exists(f"{cluster.directory}/mixed/format"), "a refused join left a data directory behind")

        code, _, errors = join(own, "second", port)
        check(code == 0, f"a good token was refused: {errors}")
        code, _, errors = join(own, "third", port + 1)
        check(code == 1 and "token" in errors, f"a used token: {code} {errors}")
        code, _, errors = join("dhtfs1:00", "fourth", port + 1)
        check(code == 2 or code == 1, f"a broken token: {code}")


def redirect(token, target):
    """The token with the address of another one; its checksum made right."""
    body, other = bytes.fromhex(token.split(":")[1])[:-4], bytes.fromhex(target.split(":")[1])[:-4]
    content = body[: 8 + 32 + 16] + other[8 + 32 + 16 :]
    return "dhtfs1:" + (content + crc32c(content).to_bytes(4, "little")).hex()


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0x82F63B78 * (value & 1)
    return value ^ 0xFFFFFFFF


def test_join_makes_a_working_second_node():
    with Cluster(nodes=1, replicas=2) as cluster:
        with open(f"{cluster.mount}/before", "wb") as file:
            file.write(os.urandom(2_000_000))
            file.flush()
            os.fsync(file.fileno())
        cluster.nodes = 2
        cluster.up()
        with open(f"{cluster.mount}/after", "wb") as file:
            file.write(os.urandom(2_000_000))
            file.flush()
            os.fsync(file.fileno())
        cluster.wait_until_whole()
        check(len(cluster.status()["nodes"]) == 2, "the second node is not in the status")
        cluster.verify("--repair", code=1)
        cluster.verify("--deep")


def test_secrets_are_not_in_logs():
    with Cluster() as cluster:
        token = cluster.dhtfs("token", "create", "--data", f"{cluster.data}/node1").strip()
        secret = token.split(":")[1][80:112]
        keys = [line for name in ("ca.key", "node.key", "mount.key") for line in open(f"{cluster.data}/node1/tls/{name}").read().splitlines()[1:-1]]
        text = "".join(open(f"{cluster.data}/node{number}/daemon.log", errors="replace").read() for number in (1, 2, 3))
        text += open(f"{cluster.data}/mount.log", errors="replace").read() + str(cluster.status())
        for word in [secret, *keys]:
            check(word not in text, "a secret is in a log or in the status")
        for name in ("ca.key", "node.key", "mount.key"):
            check(os.stat(f"{cluster.data}/node1/tls/{name}").st_mode & 0o077 == 0, f"{name} can be read by others")
