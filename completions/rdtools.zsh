# TAB completion of rd-mine, rd-label, rd-train, rd-eval, rd-entropy for zsh: source this file.

_rd_mine() {
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

compdef _rd_mine rd-mine

_rd_label() {
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

compdef _rd_label rd-label

_rd_train() {
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

compdef _rd_train rd-train

_rd_eval() {
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

compdef _rd_eval rd-eval

_rd_entropy() {
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

compdef _rd_entropy rd-entropy
