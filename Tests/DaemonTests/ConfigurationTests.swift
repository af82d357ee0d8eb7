import Daemon
import Telemetry
import Testing

@Suite struct ConfigurationTests {
    @Test func fileEnvironmentAndFlagsInThatOrder() throws {
        var configuration = Configuration()
        try configuration.apply(text: "# comment\n\nlisten = 10.0.0.1:99 # here\nlog_level=debug\ncache_mb = 64\n", path: "f")
        #expect(configuration.listen == HostPort(host: "10.0.0.1", port: 99))
        #expect(configuration.logLevel == .debug)
        try configuration.apply(environment: { $0 == "DHTFS_CACHE_MB" ? "128" : nil })
        #expect(configuration.cacheMebibytes == 128)
        try configuration.set("cache_mb", "512", source: "--set")
        #expect(configuration.cacheMebibytes == 512)
    }

    @Test(arguments: [
        ("colour = blue", "line 1"), ("listen", "line 1"), ("\nlisten = x", "HOST:PORT"), ("cache_mb = 1", "16"), ("log_level = loud", "warning"),
        ("weight = 65", "64"), ("deadline_s = -1", "deadline_s"), ("io_uring = 1", "yes or no"), ("machine = ", "1 to 64"),
    ])
    func refusals(text: String, said: String) {
        var configuration = Configuration()
        let before = configuration
        let error = #expect(throws: DaemonError.self) { try configuration.apply(text: text, path: "f") }
        #expect(error?.code == .usage)
        #expect(error?.cause.contains(said) == true, "\(error?.cause ?? "")")
        #expect(error?.cause.contains("\n") == false)
        #expect(configuration == before)
    }

    @Test func addresses() {
        #expect(HostPort("a:1") == HostPort(host: "a", port: 1))
        #expect(HostPort("[::1]:70")?.description == "[::1]:70")
        for wrong in ["", ":", "a", "a:", "a:x", "a:65536", "::1:70", " a:1", ":1"] { #expect(HostPort(wrong) == nil, "\(wrong)") }
    }
}
