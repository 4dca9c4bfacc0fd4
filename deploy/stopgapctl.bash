# bash completion of stopgapctl. Commands and their options are those that the program's
# help shows (scripts/make-man). Ids of jobs are not asked for: that would be a question
# to Redis with each press of a key.

_stopgapctl()
{
    local commands="@COMMANDS@"
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local command='' options='' operands='' files=0 i

    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --env-file) ((i++)) ;;
        -*) ;;
        *)
            command=${COMP_WORDS[i]}
            break
            ;;
        esac
    done
    # "class=x" is three words, or two before x has begun.
    if [[ $cur == '=' && $prev == class ]]; then
        prev='=' cur=''
    fi
    case $prev in
    --env-file | --key)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    --state) operands='queued active delayed failed done' ;;
    --redo) operands='validate sign email record close' ;;
    --type) operands='ed25519 rsa' ;;
    --bits) operands='2048 3072 4096' ;;
    --where) operands='class=' ;;
    '=') operands='invalid out_of_scope permanent auth rate_limited transient ambiguous limit poison' ;;
    esac
    if [[ -n $operands ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$operands" -- "$cur")
        [[ $prev != --where ]] || compopt -o nospace 2>/dev/null
        return
    fi
    case $command in
    '') options='--env-file --json --help --version' operands=$commands ;;
@CASES@
    esac
    if [[ $cur == -* ]]; then
        [[ -z $command ]] || options="$options --env-file --json --help"
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -W "$operands" -- "$cur")
        [[ $files == 0 ]] || mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur")
    fi
}
complete -o filenames -F _stopgapctl stopgapctl
