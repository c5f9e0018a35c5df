# TAB completion of rd-mine, rd-label, rd-train, rd-eval, rd-entropy for zsh: source this file.


_rd_mine_completion() {
  eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _RD_MINE_COMPLETE=complete_zsh rd-mine)
}

compdef _rd_mine_completion rd-mine


_rd_label_completion() {
  eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _RD_LABEL_COMPLETE=complete_zsh rd-label)
}

compdef _rd_label_completion rd-label


_rd_train_completion() {
  eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _RD_TRAIN_COMPLETE=complete_zsh rd-train)
}

compdef _rd_train_completion rd-train


_rd_eval_completion() {
  eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _RD_EVAL_COMPLETE=complete_zsh rd-eval)
}

compdef _rd_eval_completion rd-eval


_rd_entropy_completion() {
  eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _RD_ENTROPY_COMPLETE=complete_zsh rd-entropy)
}

compdef _rd_entropy_completion rd-entropy
