# Bash completion for dhtfs. Install as /usr/share/bash-completion/completions/dhtfs.

_dhtfs() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local subcommands='init token join daemon mount unmount up down status ring put get cat stat locate verify version'
    local common='--help --json --config --data --log-level'
    local command='' index word flags
    COMPREPLY=()

    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        if [[ " $subcommands " == *" $word "* ]]; then
            command=$word
            break
        fi
    done

    case $previous in
    --config)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --data)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
        return
        ;;
    --log-level)
        mapfile -t COMPREPLY < <(compgen -W 'debug info warning error' -- "$current")
        return
        ;;
    -o)
        mapfile -t COMPREPLY < <(compgen -W 'ro rw nosuid suid nodev dev allow_other default_permissions' -- "$current")
        return
        ;;
    esac

    case $command in
    '')
        mapfile -t COMPREPLY < <(compgen -W "$subcommands --help --version" -- "$current")
        return
        ;;
    token)
        if [[ $current != -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W 'create' -- "$current")
            return
        fi
        flags=$common
        ;;
    init | join | daemon) flags="$common --listen --advertise --machine --socket" ;;
    mount) flags="$common -o --cache-mb --dirty-mb --read-ahead-kb --deadline-s" ;;
    up) flags="$common --nodes --replicas" ;;
    verify) flags="$common --deep --repair --resume --max-duration" ;;
    *) flags=$common ;;
    esac

    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$current")
        return
    fi
    compopt -o filenames 2>/dev/null
    case $command in
    mount | unmount | up | down | init | join) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    put | get | cat | stat | locate | verify) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    esac
}

complete -F _dhtfs dhtfs
