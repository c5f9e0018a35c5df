# TAB completion of rd-mine, rd-label, rd-train, rd-eval, rd-entropy for fish: source this file.

function _rd_mine
    set -l word (commandline -ct | string trim --left --chars '"\'')
    set -l found (RDTOOLS_COMPLETE=fish rd-mine (commandline -opc)[2..] "$word" 2>/dev/null)
    if test $status -eq 3
        __fish_complete_path (commandline -ct)
    else
        string join -- \n $found
    end
end

complete --command rd-mine --no-files --arguments '(_rd_mine)'

function _rd_label
    set -l word (commandline -ct | string trim --left --chars '"\'')
    set -l found (RDTOOLS_COMPLETE=fish rd-label (commandline -opc)[2..] "$word" 2>/dev/null)
    if test $status -eq 3
        __fish_complete_path (commandline -ct)
    else
        string join -- \n $found
    end
end

complete --command rd-label --no-files --arguments '(_rd_label)'

function _rd_train
    set -l word (commandline -ct | string trim --left --chars '"\'')
    set -l found (RDTOOLS_COMPLETE=fish rd-train (commandline -opc)[2..] "$word" 2>/dev/null)
    if test $status -eq 3
        __fish_complete_path (commandline -ct)
    else
        string join -- \n $found
    end
end

complete --command rd-train --no-files --arguments '(_rd_train)'

function _rd_eval
    set -l word (commandline -ct | string trim --left --chars '"\'')
    set -l found (RDTOOLS_COMPLETE=fish rd-eval (commandline -opc)[2..] "$word" 2>/dev/null)
    if test $status -eq 3
        __fish_complete_path (commandline -ct)
    else
        string join -- \n $found
    end
end

complete --command rd-eval --no-files --arguments '(_rd_eval)'

function _rd_entropy
    set -l word (commandline -ct | string trim --left --chars '"\'')
    set -l found (RDTOOLS_COMPLETE=fish rd-entropy (commandline -opc)[2..] "$word" 2>/dev/null)
    if test $status -eq 3
        __fish_complete_path (commandline -ct)
    else
        string join -- \n $found
    end
end

complete --command rd-entropy --no-files --arguments '(_rd_entropy)'
