import Conformance

/// The command line.
struct Options {
    static let usage = """
        usage: dhtfs-conformance --tree DIR [--second DIR] [--oracle-rules] [--only-two] [--verbose] [--list] [NAME-PREFIX…]
               dhtfs-conformance --random N --seed S --tree DIR --oracle DIR [--second DIR]
          --tree DIR       where the cases make directories; root's, on the filesystem to be tested
          --second DIR     the same tree through another mount, for the cases of two mounts and for alternating operations
          --oracle-rules   the tree is on a local filesystem: the cases that are about mounts do not apply
          --only-two       only the cases of two mounts
          --random N       N random operations on the tree and on the oracle, which must agree
        """

    var tree: String?
    var second: String?
    var oracle: String?
    var isOracle = false
    var onlyTwo = false
    var isListing = false
    var isVerbose = false
    var isHelp = false
    var randomSteps: Int?
    var seed: UInt64 = 1
    var names: [String] = []

    init(_ words: [String]) throws(Failure) {
        var words = words[...]
        func value(_ flag: String) throws(Failure) -> String {
            guard let word = words.popFirst() else { throw Failure("\(flag) needs a value") }
            return word
        }
        while let word = words.popFirst() {
            switch word {
            case "--tree": tree = try value(word)
            case "--second": second = try value(word)
            case "--oracle": oracle = try value(word)
            case "--oracle-rules": isOracle = true
            case "--only-two": onlyTwo = true
            case "--list": isListing = true
            case "--verbose": isVerbose = true
            case "--help", "-h": isHelp = true
            case "--random":
                guard let steps = Int(try value(word)), steps > 0 else { throw Failure("--random needs a number") }
                randomSteps = steps
            case "--seed":
                guard let number = UInt64(try value(word)) else { throw Failure("--seed needs a number") }
                seed = number
            default:
                guard !word.hasPrefix("-") else { throw Failure("unknown flag \(word)\n" + Self.usage) }
                names.append(word)
            }
        }
    }
}
