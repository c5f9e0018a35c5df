function _rdtools
    set -l word (commandline -ct | string trim --left --chars '"\'')
    set -l found (RDTOOLS_COMPLETE=fish $argv[1] (commandline -opc)[2..] "$word" 2>/dev/null)
    if test $status -eq 3
        __fish_complete_path (commandline -ct)
    else
        string join -- \n $found
    end
end

complete --command rd-train --no-files --arguments '(_rdtools rd-train)'
