"""The completion scripts of all commands for bash, zsh and fish.

They ask the command itself for candidates (`rdtools.cli.completing`), and offer files if it wants them.
"""

from __future__ import annotations

from collections.abc import Iterator

from rdtools.cli.completing import VARIABLE, WANTS_FILES

COMMANDS = ("rd-mine", "rd-label", "rd-train", "rd-eval", "rd-entropy")
SHELLS = ("bash", "zsh", "fish")
_INSTALLED = {"bash": "{}", "zsh": "_{}", "fish": "{}.fish"}
"""The name under which a shell looks for the script of a command."""

# bash splits words at COMP_WORDBREAKS, such as : and =, and replaces only the part behind the last one; @
# belongs to that part.
_BASH = """\
_rdtools() {
    local line=${COMP_LINE:0:COMP_POINT} current=${COMP_WORDS[COMP_CWORD]} word kept= found candidate
    word=${line##*[[:space:]]}
    if [[ $current != [\\"\\']* ]]; then
        kept=${word%"${word##*["$COMP_WORDBREAKS"]}"}
        kept=${kept%@}
    fi
    COMPREPLY=()
    found=$(VARIABLE=bash "$1" "$line" 2>/dev/null)
    if (( $? == WANTS_FILES )); then
        return  # bash offers files where nothing else is offered
    fi
    while IFS=$'\\t' read -r candidate _; do
        COMPREPLY+=("${candidate#"$kept"}")
    done <<< "$found"
    if [[ -z $found ]]; then
        COMPREPLY=()
        compopt +o default 2>/dev/null
    elif (( ${#COMPREPLY[@]} == 1 )) && [[ $found == *[:/=@] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
"""

_ZSH = """\
_rdtools() {
    local found line
    local -a closed open
    found=$(VARIABLE=zsh ${~words[1]} "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)
    if (( $? == WANTS_FILES )); then
        _files
        return
    fi
    for line in ${(f)found}; do
        local word=${line%%$'\\t'*} about=
        [[ $line == *$'\\t'* ]] && about=:${line#*$'\\t'}
        if [[ $word == *[:/=@] ]]; then
            open+=("${word//:/\\\\:}$about")
        else
            closed+=("${word//:/\\\\:}$about")
        fi
    done
    _describe value closed -- open -S ''
}
"""

_FISH = """\
function _rdtools
    set -l word (commandline -ct | string trim --left --chars '"\\'')
    set -l found (VARIABLE=fish $argv[1] (commandline -opc)[2..] "$word" 2>/dev/null)
    if test $status -eq WANTS_FILES
        __fish_complete_path (commandline -ct)
    else
        string join -- \\n $found
    end
end
"""

_FUNCTIONS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
"""The function that completes any of the commands."""
_USES = {
    "bash": "complete -o default -F _rdtools {}\n",
    "zsh": "compdef _rdtools {}\n",
    "fish": "complete --command {0} --no-files --arguments '(_rdtools {0})'\n",
}
"""The line that lets it complete one of them."""


def script_of(command: str, shell: str) -> str:
    """Return the script that completes one command."""
    if shell == "zsh":  # which takes such a file for the body of a function of its name
        return f'#compdef {command}\n\n{_function(shell)}\n_rdtools "$@"\n'
    return f"{_function(shell)}\n{_USES[shell].format(command)}"


def script(shell: str) -> str:
    """Return the script that completes all commands in `shell`."""
    title = f"# TAB completion of {', '.join(COMMANDS)} for {shell}: source this file."
    uses = "".join(map(_USES[shell].format, COMMANDS))
    return f"{title}\n\n{_function(shell)}\n{uses}"


def _function(shell: str) -> str:
    return _FUNCTIONS[shell].replace("VARIABLE", VARIABLE).replace("WANTS_FILES", str(WANTS_FILES))


def scripts() -> Iterator[tuple[str, str]]:
    """Yield path and text: a file for each shell to source, and one per command and shell."""
    for shell in SHELLS:
        yield f"completions/rdtools.{shell}", script(shell)
        for command in COMMANDS:
            yield f"completions/{shell}/{_INSTALLED[shell].format(command)}", script_of(command, shell)
