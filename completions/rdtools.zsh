# TAB completion of rd-mine, rd-label, rd-train, rd-eval, rd-entropy for zsh: source this file.

_rdtools() {
    local found line
    local -a closed open
    found=$(RDTOOLS_COMPLETE=zsh ${~words[1]} "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)
    if (( $? == 3 )); then
        _files
        return
    fi
    for line in ${(f)found}; do
        local word=${line%%$'\t'*} about=
        [[ $line == *$'\t'* ]] && about=:${line#*$'\t'}
        if [[ $word == *[:/=@] ]]; then
            open+=("${word//:/\\:}$about")
        else
            closed+=("${word//:/\\:}$about")
        fi
    done
    _describe value closed -- open -S ''
}

compdef _rdtools rd-mine
compdef _rdtools rd-label
compdef _rdtools rd-train
compdef _rdtools rd-eval
compdef _rdtools rd-entropy
