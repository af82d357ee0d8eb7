# Bash completion for dhtfs. Install as /usr/share/bash-completion/completions/dhtfs. The program knows its own subcommands and flags.
source <(dhtfs completion)
