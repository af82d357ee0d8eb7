// Runs one fuzz target under libFuzzer, which is linked without its own main function; see Scripts/fuzz.

import Glibc

/// libFuzzer's loop (FuzzerDriver.cpp).
@_silgen_name("LLVMFuzzerRunDriver")
func runDriver(
    _ count: UnsafeMutablePointer<CInt>, _ words: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ callback: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// What libFuzzer calls has no context.
nonisolated(unsafe) private var target = FuzzTarget.all[0]

/// Standard error as it was before libFuzzer closed it to the target.
private let complaints = dup(STDERR_FILENO)

private func complain(_ text: String) {
    let line = "dhtfs-fuzz: \(text)\n"
    _ = Glibc.write(complaints, line, line.utf8.count)
}

private func find(_ name: String) -> FuzzTarget {
    guard let found = FuzzTarget.all.first(where: { $0.name == name }) else {
        complain("unknown target \"\(name)\"; known are \(FuzzTarget.all.map(\.name).joined(separator: ", "))")
        exit(2)
    }
    return found
}

private func writeSeeds(of target: FuzzTarget, to directory: String) {
    for (number, seed) in target.seeds.enumerated() {
        let path = "\(directory)/seed-\(number)"
        guard let file = fopen(path, "w") else {
            complain("cannot write \(path): \(String(cString: strerror(errno)))")
            exit(1)
        }
        fwrite(seed, 1, seed.count, file)
        fclose(file)
    }
}

private func usage() -> Never {
    complain("usage: dhtfs-fuzz list | limits TARGET | seeds TARGET DIRECTORY | run TARGET [libFuzzer's flags and directories]")
    exit(2)
}

signal(SIGPIPE, SIG_IGN)
private let words = Array(CommandLine.arguments.dropFirst())
guard let action = words.first else { usage() }
switch (action, words.count) {
case ("list", 1):
    for target in FuzzTarget.all { print("\(target.name)\t\(target.decoders.map(\.name).joined(separator: ", "))") }
case ("limits", 2):
    let limits = find(words[1])
    print("-max_len=\(limits.inputBytesMax) -malloc_limit_mb=\(limits.allocationMebibytesMax)")
case ("seeds", 3):
    writeSeeds(of: find(words[1]), to: words[2])
case ("run", 2...):
    target = find(words[1])
    var count = CInt(words.count - 1)
    let list = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: words.count + 1)
    list.initialize(repeating: nil, count: words.count + 1)
    list[0] = strdup(CommandLine.arguments[0])
    for (place, word) in words.dropFirst(2).enumerated() { list[place + 1] = strdup(word) }
    var arguments = list
    exit(
        runDriver(&count, &arguments) { bytes, count in
            do throws(Violation) { try target.run(UnsafeRawBufferPointer(start: bytes, count: count)) } catch {
                complain("VIOLATION: \(error)")
                abort()
            }
            return 0
        })
default: usage()
}
