// swift-tools-version: 6.2
import PackageDescription

/// Strictness shared by every Swift target: language mode 6 with the upcoming features that make ownership, imports and
/// isolation explicit, and every warning an error.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .treatAllWarnings(as: .error),
    // The debug build checks exclusive access while it runs, and all tests run in it.
    .unsafeFlags(["-cross-module-optimization", "-enforce-exclusivity=unchecked"], .when(configuration: .release)),
    // Faults on purpose, for the simulator to find: see `Canary`. A release has none.
    .define("CANARIES", .when(configuration: .debug)),
]

/// Layer 2 holds pure values; it has no business with pointers, so the compiler checks that too.
let pure: [SwiftSetting] = strict + [.strictMemorySafety()]

func module(_ name: String, _ dependencies: [Target.Dependency] = [], path: String? = nil, settings: [SwiftSetting] = strict)
    -> Target
{
    .target(name: name, dependencies: dependencies, path: path, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

/// The fuzz targets. Ordinarily a test target, which replays what the fuzzer found; with DHTFS_FUZZ in the environment (see Scripts/fuzz) the
/// same sources make the program that libFuzzer drives.
let fuzzed: [Target.Dependency] = [
    "Bytes", "Model", "Digest", "OrderedStore", "Runtime", "Telemetry", "Credentials", "COpenSSL", "Wire", "Ring", "Consensus", "Namespace",
    "Journal", "BlockStore", "Transport", "Metadata", "Blocks", "Daemon", "TestSupport",
]
let fuzzing: Target =
    Context.environment["DHTFS_FUZZ"] == nil
    ? .testTarget(name: "FuzzTests", dependencies: fuzzed, exclude: ["Fuzzer", "finds"], swiftSettings: strict)
    : .executableTarget(
        name: "dhtfs-fuzz", dependencies: fuzzed, path: "Tests/FuzzTests", exclude: ["ReplayTests.swift", "finds"], swiftSettings: strict)

let package = Package(
    name: "dhtfs",
    products: [.executable(name: "dhtfs", targets: ["dhtfs"])],
    targets: [
        // Layer 0: C
        .systemLibrary(name: "CFuse", path: "Mount/CFuse", pkgConfig: "fuse3", providers: [.apt(["libfuse3-dev", "liburing-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CUV", pkgConfig: "libuv", providers: [.apt(["libuv1-dev"])]),
        .systemLibrary(name: "CRocksDB", pkgConfig: "rocksdb", providers: [.apt(["librocksdb-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .target(name: "CPosix"),

        // Layer 1: base
        module("Bytes", ["CPosix"]),
        module("Model", ["Bytes"]),
        module("OrderedStore", ["Bytes"]),
        module("Digest", ["Bytes", "COpenSSL"]),
        module("Telemetry", ["CPosix"]),
        module("Runtime", ["Bytes", "Model", "Telemetry", "CPosix", "CUV", "COpenSSL"]),
        module("Credentials", ["Bytes", "Model", "COpenSSL", "CPosix"]),

        // Layer 2: pure
        module("Wire", ["Bytes", "Model"], settings: pure),
        module("Ring", ["Bytes", "Model", "Digest"], settings: pure),
        module("Membership", ["Bytes", "Model"], settings: pure),
        module("Consensus", ["Bytes", "Model"], settings: pure),
        module("Namespace", ["Bytes", "Model", "Digest", "OrderedStore"], settings: pure),

        // Layer 3: services
        module("RocksStore", ["Bytes", "OrderedStore", "CRocksDB"]),
        module("Journal", ["Bytes", "Model", "Runtime", "Telemetry"]),
        module("BlockStore", ["Bytes", "Model", "Digest", "Runtime", "Telemetry", "Journal", "OrderedStore", "CZstd"]),
        module("Transport", ["Bytes", "Model", "Runtime", "Telemetry", "Wire"]),
        module(
            "Metadata",
            ["Bytes", "Model", "Digest", "Runtime", "Telemetry", "Wire", "Ring", "Consensus", "Namespace", "OrderedStore", "Journal", "Transport"]),
        module(
            "Blocks",
            ["Bytes", "Model", "Digest", "Runtime", "Telemetry", "Wire", "Ring", "Membership", "OrderedStore", "BlockStore", "Transport"]),

        // Layer 4: files
        module("Filesystem", ["Bytes", "Model", "Digest", "Runtime", "Telemetry", "Namespace", "Metadata", "Blocks"]),
        module("Verification", ["Bytes", "Model", "Digest", "Runtime", "Telemetry", "Ring", "Namespace", "Metadata", "Blocks"]),

        // Layer 5: edge
        module(
            "FuseMount", ["Bytes", "Model", "Runtime", "Telemetry", "Namespace", "Filesystem", "CFuse", "CPosix"],
            path: "Mount/FuseMount"),

        // Layer 6: composition
        module(
            "Daemon",
            [
                "Bytes", "Model", "Digest", "Runtime", "Telemetry", "Credentials", "Wire", "Ring", "Membership", "Consensus", "Namespace",
                "OrderedStore", "RocksStore", "Journal", "BlockStore", "Transport", "Metadata", "Blocks", "Filesystem", "CPosix",
            ]),
        .executableTarget(
            name: "dhtfs",
            dependencies: [
                "Bytes", "Model", "Digest", "Runtime", "Telemetry", "Credentials", "Wire", "Ring", "Namespace", "Transport", "Metadata",
                "Blocks", "Filesystem", "Verification", "FuseMount", "Daemon", "CPosix",
            ], swiftSettings: strict),

        // Tests
        .executableTarget(name: "lossydisk", dependencies: ["CFuse", "CPosix"], path: "Tests/LossyDisk", swiftSettings: strict),
        .target(name: "CSystem", path: "Tests/CSystem"),
        .target(name: "Conformance", dependencies: ["CSystem"], path: "Tests/Conformance", swiftSettings: strict),
        .executableTarget(name: "dhtfs-conformance", dependencies: ["Conformance"], path: "Tests/ConformanceProgram", swiftSettings: strict),
        .target(
            name: "ConformanceWorld", dependencies: ["Bytes", "Model", "Runtime", "Namespace", "Filesystem", "FilesystemWorld", "TestSupport", "Conformance"],
            path: "Tests/ConformanceWorld", swiftSettings: strict),
        tests("ConformanceTests", ["CSystem", "Runtime", "Filesystem", "FilesystemWorld", "TestSupport", "Conformance", "ConformanceWorld"]),
        tests("BaseTests", ["Bytes", "Model", "Digest", "Runtime", "Telemetry"]),
        tests("RuntimeTests", ["Bytes", "Model", "Runtime", "Telemetry", "Wire", "Transport", "Credentials", "TestSupport"]),
        tests("ConsensusTests", ["Bytes", "Model", "Consensus"]),
        tests("NamespaceTests", ["Bytes", "Model", "Digest", "OrderedStore", "RocksStore", "Namespace"]),
        tests("StoreTests", ["Bytes", "Model", "Digest", "OrderedStore", "RocksStore", "Runtime", "Telemetry", "Journal", "BlockStore", "TestSupport"]),
        tests(
            "BlocksTests",
            [
                "Bytes", "Model", "Digest", "OrderedStore", "Runtime", "Telemetry", "Wire", "Ring", "Membership", "Transport", "BlockStore",
                "Blocks", "TestSupport",
            ]),
        tests(
            "MetadataTests",
            [
                "Bytes", "Model", "Digest", "OrderedStore", "Runtime", "Telemetry", "Wire", "Ring", "Consensus", "Namespace", "Journal",
                "Transport", "Metadata", "TestSupport",
            ]),
        tests(
            "FilesystemTests",
            [
                "Bytes", "Model", "Digest", "OrderedStore", "Runtime", "Telemetry", "Namespace", "Metadata", "Blocks", "Filesystem",
                "FilesystemWorld", "TestSupport",
            ]),
        tests(
            "VerificationTests",
            [
                "Bytes", "Model", "Digest", "OrderedStore", "Runtime", "Telemetry", "Wire", "Ring", "Transport", "Namespace", "Metadata",
                "Blocks", "Verification", "TestSupport",
            ]),
        tests("FuseMountTests", ["Bytes", "Model", "Runtime", "Telemetry", "Namespace", "Filesystem", "CFuse", "FuseMount", "TestSupport"]),
        tests("DaemonTests", ["Bytes", "Model", "Runtime", "Credentials", "OrderedStore", "RocksStore", "Metadata", "Daemon", "TestSupport"]),
        tests("TidyTests", []),
        // Starts `dhtfs-simulate` as a process of its own.
        tests("CanaryTests", ["Model"]),
        fuzzing,
        .target(
            name: "Simulation",
            dependencies: [
                "Bytes", "Model", "Digest", "OrderedStore", "Runtime", "Telemetry", "Wire", "Ring", "Membership", "Consensus", "Namespace", "Journal",
                "BlockStore", "Transport", "Metadata", "Blocks", "Filesystem", "Verification", "Daemon", "TestSupport", "SimulationChecks",
            ], path: "Tests/Simulation", exclude: ["known-seeds.txt"], swiftSettings: strict),
        .executableTarget(
            name: "dhtfs-simulate", dependencies: ["Model", "Simulation", "SimulationChecks", "Telemetry"], path: "Tests/SimulationProgram", swiftSettings: strict),
        .target(
            name: "TestSupport", dependencies: ["Bytes", "Model", "OrderedStore", "Runtime", "Telemetry", "Namespace", "Metadata"], path: "Tests/TestSupport",
            swiftSettings: strict),
        .target(
            name: "FilesystemWorld",
            dependencies: [
                "Bytes", "Model", "Digest", "OrderedStore", "Runtime", "Telemetry", "Namespace", "Metadata", "Blocks", "Filesystem", "TestSupport",
            ], path: "Tests/FilesystemWorld", swiftSettings: strict),
        .target(
            name: "SimulationChecks",
            dependencies: [
                "Bytes", "Model", "Digest", "OrderedStore", "Runtime", "Telemetry", "Namespace", "Metadata", "Blocks", "Filesystem", "Verification",
                "TestSupport",
            ], path: "Tests/SimulationChecks", swiftSettings: strict),
        tests(
            "SimulationChecksTests",
            [
                "Bytes", "Model", "Digest", "OrderedStore", "Runtime", "Telemetry", "Namespace", "Metadata", "Blocks", "Filesystem",
                "FilesystemWorld", "SimulationChecks", "TestSupport",
            ]),
    ]
)
