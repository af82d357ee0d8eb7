import Daemon

/// `dhtfs completion`.
enum CompletionCommand {
    static let command = Command(
        name: "completion", summary: "print the completion for bash", details: "Use it with: source <(dhtfs completion)"
    ) { _ in
        Terminal.print(script)
        return 0
    }

    /// Made from the table of commands, so that it never knows less than the program.
    private static var script: String {
        let firstWords = Set(CommandTable.all.compactMap { $0.name.split(separator: " ").first.map(String.init) }).sorted()
        var cases = ""
        for command in CommandTable.all {
            let flags = (command.flags.map(\.name) + ["--help"]).joined(separator: " ")
            cases += "        \"\(command.name)\") flags=\"\(flags)\" ;;\n"
        }
        return """
            # Completion of dhtfs for bash; printed by `dhtfs completion`.
            _dhtfs() {
                local current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]:-} flags=""
                if [ "$COMP_CWORD" -eq 1 ]; then
                    COMPREPLY=($(compgen -W "\(firstWords.joined(separator: " "))" -- "$current"))
                    return
                fi
                if [ "$command" = token ]; then
                    if [ "$COMP_CWORD" -eq 2 ]; then
                        COMPREPLY=($(compgen -W "create" -- "$current"))
                        return
                    fi
                    command="token create"
                fi
                case "$command" in
            \(cases)    esac
                if [[ "$current" == -* ]]; then
                    COMPREPLY=($(compgen -W "$flags" -- "$current"))
                else
                    COMPREPLY=($(compgen -f -- "$current"))
                fi
            }
            complete -o filenames -F _dhtfs dhtfs
            """
    }
}
