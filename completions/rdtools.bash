# TAB completion of rd-mine, rd-label, rd-train, rd-eval, rd-entropy for bash: source this file.

_rd_mine_completion() {
    local IFS=$'
'
    COMPREPLY=( $( env COMP_WORDS="${COMP_WORDS[*]}" \
                   COMP_CWORD=$COMP_CWORD \
                   _RD_MINE_COMPLETE=complete_bash $1 ) )
    return 0
}

complete -o default -F _rd_mine_completion rd-mine

_rd_label_completion() {
    local IFS=$'
'
    COMPREPLY=( $( env COMP_WORDS="${COMP_WORDS[*]}" \
                   COMP_CWORD=$COMP_CWORD \
                   _RD_LABEL_COMPLETE=complete_bash $1 ) )
    return 0
}

complete -o default -F _rd_label_completion rd-label

_rd_train_completion() {
    local IFS=$'
'
    COMPREPLY=( $( env COMP_WORDS="${COMP_WORDS[*]}" \
                   COMP_CWORD=$COMP_CWORD \
                   _RD_TRAIN_COMPLETE=complete_bash $1 ) )
    return 0
}

complete -o default -F _rd_train_completion rd-train

_rd_eval_completion() {
    local IFS=$'
'
    COMPREPLY=( $( env COMP_WORDS="${COMP_WORDS[*]}" \
                   COMP_CWORD=$COMP_CWORD \
                   _RD_EVAL_COMPLETE=complete_bash $1 ) )
    return 0
}

complete -o default -F _rd_eval_completion rd-eval

_rd_entropy_completion() {
    local IFS=$'
'
    COMPREPLY=( $( env COMP_WORDS="${COMP_WORDS[*]}" \
                   COMP_CWORD=$COMP_CWORD \
                   _RD_ENTROPY_COMPLETE=complete_bash $1 ) )
    return 0
}

complete -o default -F _rd_entropy_completion rd-entropy
