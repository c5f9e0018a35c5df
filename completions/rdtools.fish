# TAB completion of rd-mine, rd-label, rd-train, rd-eval, rd-entropy for fish: source this file.

complete --command rd-mine --no-files --arguments "(env _RD_MINE_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS=(commandline -cp) rd-mine)" --condition "env _RD_MINE_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=is-args _TYPER_COMPLETE_ARGS=(commandline -cp) rd-mine"

complete --command rd-label --no-files --arguments "(env _RD_LABEL_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS=(commandline -cp) rd-label)" --condition "env _RD_LABEL_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=is-args _TYPER_COMPLETE_ARGS=(commandline -cp) rd-label"

complete --command rd-train --no-files --arguments "(env _RD_TRAIN_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS=(commandline -cp) rd-train)" --condition "env _RD_TRAIN_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=is-args _TYPER_COMPLETE_ARGS=(commandline -cp) rd-train"

complete --command rd-eval --no-files --arguments "(env _RD_EVAL_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS=(commandline -cp) rd-eval)" --condition "env _RD_EVAL_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=is-args _TYPER_COMPLETE_ARGS=(commandline -cp) rd-eval"

complete --command rd-entropy --no-files --arguments "(env _RD_ENTROPY_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS=(commandline -cp) rd-entropy)" --condition "env _RD_ENTROPY_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=is-args _TYPER_COMPLETE_ARGS=(commandline -cp) rd-entropy"
