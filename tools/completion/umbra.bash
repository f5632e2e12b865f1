# shellcheck shell=bash
# Completion of umbra's command line for bash. The words come from umbra itself ("umbra help"), so that
# they are those of the program that is installed.

_umbra_commands() { "$1" help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p'; }

# Options are the words of a command's help that start a line with a dash, all spellings of them.
_umbra_options() {
    "$1" help "$2" 2>/dev/null | sed -n 's/^ *\(--\{0,1\}[a-z].*\)/\1/p' |
        sed 's/  .*//' | tr -s ', =[' '\n' | grep -E '^--?[a-z]'
}

_umbra() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} cmd=${COMP_WORDS[1]:-}
    local umbra=${COMP_WORDS[0]}
    umbra=${umbra/#\~/$HOME}
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_umbra_commands "$umbra") --help --version" -- "$cur")
        return
    fi
    if [ "$cmd" = help ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_umbra_commands "$umbra") exit-codes" -- "$cur")
        return
    fi
    if [ "$cmd" = trace ] && [ "$COMP_CWORD" -eq 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W 'report dump export' -- "$cur")
        return
    fi
    case $cmd:$prev in
        ctl:ctl)
            mapfile -t COMPREPLY < <(compgen -W 'status registers stats pause resume step wait memory inject quit --socket --json' -- "$cur")
            return
            ;;
        ctl:inject)
            mapfile -t COMPREPLY < <(compgen -W 'swap-out fork unfork write-protect drop-shadow fail' -- "$cur")
            return
            ;;
        ctl:fail)
            mapfile -t COMPREPLY < <(compgen -W 'none read write io frame' -- "$cur")
            return
            ;;
        pt:pt)
            mapfile -t COMPREPLY < <(compgen -W "save compare $(_umbra_options "$umbra" pt)" -- "$cur")
            return
            ;;
        pt:--view | pt:-view)
            mapfile -t COMPREPLY < <(compgen -W 'both kernel user' -- "$cur")
            return
            ;;
    esac
    case $prev in
        --engine | -engine)
            mapfile -t COMPREPLY < <(compgen -W 'auto kvm soft' -- "$cur")
            return
            ;;
        --ring0 | -ring0)
            mapfile -t COMPREPLY < <(compgen -W 'auto native soft' -- "$cur")
            return
            ;;
        --large-pages | -large-pages)
            mapfile -t COMPREPLY < <(compgen -W 'off on' -- "$cur")
            return
            ;;
        --boot | -boot)
            mapfile -t COMPREPLY < <(compgen -W 'a c d ac cd dc acd' -- "$cur")
            return
            ;;
        --display | -display)
            mapfile -t COMPREPLY < <(compgen -W 'none text' -- "$cur")
            return
            ;;
        --clock | -clock)
            mapfile -t COMPREPLY < <(compgen -W 'host insn' -- "$cur")
            return
            ;;
    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_umbra_options "$umbra" "$cmd") --help" -- "$cur")
    else
        compopt -o filenames 2>/dev/null
        [ "$cmd" = test ] && mapfile -t COMPREPLY < <(compgen -W "$("$umbra" test --list 2>/dev/null | sed 's/ .*//')" -- "$cur")
        [ ${#COMPREPLY[@]} -gt 0 ] && return
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}
complete -F _umbra umbra
