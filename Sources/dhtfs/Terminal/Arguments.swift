import Daemon

/// One flag of a command.
struct Flag: Sendable {
    /// With its dashes, such as `--data`.
    var name: String
    /// What its value is called in the help; nil for a switch.
    var value: String?
    var help: String

    init(_ name: String, _ value: String? = nil, _ help: String) {
        self.name = name
        self.value = value
        self.help = help
    }
}

/// A command line after parsing: known flags and what stands beside them.
struct Arguments: Sendable {
    private var values: [String: String] = [:]
    private var switches: Set<String> = []
    private(set) var operands: [String] = []

    /// Parses `--flag value`, `--flag=value`, `--switch`, and operands; `--` ends the flags.
    /// - Throws: `.usage` naming the flag that is unknown, lacks a value or has one too many, or the operand that is missing or too much.
    init(_ words: [String], flags: [Flag], operands names: [String], command: String) throws(DaemonError) {
        var rest = words[...]
        var onlyOperands = false
        while let word = rest.popFirst() {
            guard !onlyOperands, word.hasPrefix("-"), word != "-" else {
                operands.append(word)
                continue
            }
            if word == "--" {
                onlyOperands = true
                continue
            }
            let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
            guard let name = parts.first, let flag = flags.first(where: { $0.name == name || (name == "-n" && $0.name == "--nodes") }) else {
                throw DaemonError(.usage, "\(command): unknown flag \(word); see `dhtfs \(command) --help`")
            }
            guard let value = flag.value else {
                guard parts.count == 1 else { throw DaemonError(.usage, "\(command): \(flag.name) takes no value") }
                switches.insert(flag.name)
                continue
            }
            if parts.count == 2 {
                values[flag.name] = parts[1]
            } else if let next = rest.popFirst() {
                values[flag.name] = next
            } else {
                throw DaemonError(.usage, "\(command): \(flag.name) needs a value (\(value))")
            }
        }
        let required = names.filter { !$0.hasPrefix("[") }.count
        guard operands.count >= required else { throw DaemonError(.usage, "\(command): \(names[operands.count]) is missing; see `dhtfs \(command) --help`") }
        guard operands.count <= names.count else { throw DaemonError(.usage, "\(command): unexpected \"\(operands[names.count])\"") }
    }

    func isOn(_ name: String) -> Bool { switches.contains(name) }

    subscript(_ name: String) -> String? { values[name] }

    /// A whole number in `range`; nil if the flag is not there.
    func number(_ name: String, _ range: ClosedRange<Int>) throws(DaemonError) -> Int? {
        guard let text = values[name] else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw DaemonError(.usage, "\(name) must be a number from \(range.lowerBound) to \(range.upperBound), not \"\(text)\"")
        }
        return number
    }

    /// The operand at `index`; nil if it was left out.
    func operand(_ index: Int) -> String? { index < operands.count ? operands[index] : nil }
}
