# TAB completion of rd-mine, rd-label, rd-train, rd-eval, rd-entropy for bash: source this file.

_rdtools() {
    local line=${COMP_LINE:0:COMP_POINT} current=${COMP_WORDS[COMP_CWORD]} word kept= found candidate
    word=${line##*[[:space:]]}
    if [[ $current != [\"\']* ]]; then
        kept=${word%"${word##*["$COMP_WORDBREAKS"]}"}
        kept=${kept%@}
    fi
    COMPREPLY=()
    found=$(RDTOOLS_COMPLETE=bash "$1" "$line" 2>/dev/null)
    if (( $? == 3 )); then
        return  # bash offers files where nothing else is offered
    fi
    while IFS=$'\t' read -r candidate _; do
        COMPREPLY+=("${candidate#"$kept"}")
    done <<< "$found"
    if [[ -z $found ]]; then
        COMPREPLY=()
        compopt +o default 2>/dev/null
    elif (( ${#COMPREPLY[@]} == 1 )) && [[ $found == *[:/=@] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

complete -o default -F _rdtools rd-mine
complete -o default -F _rdtools rd-label
complete -o default -F _rdtools rd-train
complete -o default -F _rdtools rd-eval
complete -o default -F _rdtools rd-entropy
