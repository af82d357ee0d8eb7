import CFuse
import CPosix
import Glibc

private let usage = """
    usage: lossydisk MOUNTPOINT --control SOCKET [--capacity BYTES] [--ordered-names]
           lossydisk --send SOCKET COMMAND…

    A disk for tests, wholly in memory. It knows what was synced, and loses the rest on command. It serves in the foreground until it is unmounted or
    gets SIGTERM, and then everything is gone.

      --control SOCKET    where it takes commands
      --capacity BYTES    size of the disk (default 4 GiB)
      --ordered-names     as ext4: a sync of anything makes all earlier changes of names durable, in order. Without it, as POSIX: fsync of a file makes its
                          content durable, fsync of a directory its entries, and nothing else is.
      --send SOCKET …     give a command to a disk that runs, and print its answer

    commands:
    \(Control.help.split(separator: "\n").map { "  " + $0 }.joined(separator: "\n"))
    """

private func fail(_ message: String) -> Never {
    let line = Array("lossydisk: \(message)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
    exit(2)
}

private var words = Array(CommandLine.arguments.dropFirst())
if words.contains("--help") || words.contains("-h") {
    print(usage)
    exit(0)
}
if words.first == "--send" {
    guard words.count >= 3 else { fail("--send needs a socket and a command; see --help") }
    guard let answer = Control.send(words[2...].joined(separator: " "), to: words[1]) else { fail("nothing answers at \(words[1])") }
    print(answer, terminator: "")
    exit(answer.hasPrefix("error") || answer.isEmpty ? 1 : 0)
}

private var mountPoint: String?
private var socketPath: String?
private var capacity = 4 << 30
private var ordersNames = false
while !words.isEmpty {
    let word = words.removeFirst()
    switch word {
    case "--control", "--capacity":
        guard !words.isEmpty else { fail("\(word) needs a value; see --help") }
        let value = words.removeFirst()
        if word == "--control" {
            socketPath = value
        } else {
            guard let bytes = Int(value), bytes > 0 else { fail("--capacity must be a number of bytes, not \"\(value)\"") }
            capacity = bytes
        }
    case "--ordered-names": ordersNames = true
    default:
        guard !word.hasPrefix("-") else { fail("unknown flag \(word); see --help") }
        guard mountPoint == nil else { fail("one mount point only; see --help") }
        mountPoint = word
    }
}
guard let mountPoint, let socketPath else { fail("MOUNTPOINT and --control are needed; see --help") }

signal(SIGPIPE, SIG_IGN)
let volume = Volume(capacity: capacity, ordersNames: ordersNames)
let adapter = Adapter(volume)
guard let control = Control(path: socketPath, volume) else { fail("cannot listen at \(socketPath): \(String(cString: strerror(errno)))") }
private var table = Adapter.handlers()
private var arguments = fuse_args()
for word in ["lossydisk", "-o", "allow_other,default_permissions,fsname=lossydisk,subtype=lossydisk"] { fuse_opt_add_arg(&arguments, word) }
let session = fuse_session_new(&arguments, &table, MemoryLayout<fuse_lowlevel_ops>.size, Unmanaged.passUnretained(adapter).toOpaque())
guard session != nil, fuse_set_signal_handlers(session) == 0, fuse_session_mount(session, mountPoint) == 0 else { fail("cannot mount at \(mountPoint)") }

// One thread waits for both the kernel and commands, so that a power loss falls between two requests and never into one.
private let device = fuse_session_fd(session)
CPosix_set_nonblocking(device)
private var buffer = fuse_buf()
private var waiting = [pollfd(fd: device, events: Int16(POLLIN), revents: 0), pollfd(fd: control.listener, events: Int16(POLLIN), revents: 0)]
while fuse_session_exited(session) == 0 {
    guard poll(&waiting, 2, -1) >= 0 || errno == EINTR else { break }
    if waiting[1].revents != 0 { control.serve() }
    if waiting[0].revents != 0 {
        let count = fuse_session_receive_buf(session, &buffer)
        if count == -EINTR || count == -EAGAIN { continue }
        if count <= 0 { break }
        fuse_session_process_buf(session, &buffer)
    }
}
fuse_session_unmount(session)
fuse_remove_signal_handlers(session)
fuse_session_destroy(session)
unlink(socketPath)
