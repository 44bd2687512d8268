"""Shell completion: `eval "$(genimg-train --completion bash)"`. Reads the YAML files as text, without Hydra."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from genimg.common.declared import registry
from genimg.common.errors import UserError
from genimg.config import yaml_text as pages
from genimg.config.flags import FLAGS

# the scripts call `--complete WORDS...` with the words up to the cursor, the last one unfinished
_BASH = """\
_genimg_train() {
    local word="${COMP_LINE:0:COMP_POINT}"
    local -a words
    read -ra words <<< "$word"
    [[ "$word" == *[[:space:]] ]] && words+=("")
    local current="${words[-1]}"
    local found
    mapfile -t found < <("${COMP_WORDS[0]}" --complete "${words[@]:1}" 2>/dev/null)
    compopt +o nospace
    if [[ "${found[0]}" == "<file>" ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "${current#*=}")
        return
    fi
    [[ ${#found[@]} -gt 0 && "${found[0]}" == *[=.] ]] && compopt -o nospace
    # bash splits words at '=': the part before it is on the line already
    [[ "$COMP_WORDBREAKS" == *=* && "$current" == *=* ]] && found=("${found[@]#"${current%%=*}="}")
    COMPREPLY=("${found[@]}")
}
complete -F _genimg_train genimg-train genimg"""

_ZSH = """\
_genimg_train() {
    local -a found
    found=("${(@f)$("${words[1]}" --complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ "${found[1]}" == "<file>" ]]; then
        compset -P '*='
        _files
        return
    fi
    [[ -z "${found[1]}" ]] && return
    compadd -Q -S '' -- "${found[@]}"
}
compdef _genimg_train genimg-train genimg"""

_FISH = """\
function __genimg_train
    set -l words (commandline -opc) (commandline -ct)
    set -l found ($words[1] --complete $words[2..-1] 2>/dev/null)
    if test "$found[1]" = "<file>"
        set -l parts (string split -m 1 = -- $words[-1])
        for path in (__fish_complete_path $parts[2])
            echo $parts[1]=$path
        end
    else
        printf '%s\\n' $found
    end
end
complete -c genimg-train -f -a '(__genimg_train)'
complete -c genimg -f -a '(__genimg_train)'"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def script(shell: str) -> str:
    """Returns the completion script of `shell`."""
    if shell not in SCRIPTS:
        raise UserError("--completion", shell, "bash, zsh or fish", hint='eval "$(genimg-train --completion bash)"')
    return SCRIPTS[shell]


def complete(words: list[str]) -> int:
    """Prints the completions of the last of `words`, one per line, or `<file>` if it is a path."""
    print("\n".join(candidates(words)))
    return 0


def candidates(words: list[str]) -> list[str]:
    """The completions of the last of `words`, given the words before it."""
    *before, current = words or [""]
    config_dir = _config_dir(before)
    if before and before[-1] == "--config-dir":
        return ["<file>"]
    if before and before[-1] == "--completion":
        return _starting(SCRIPTS, current)
    if before and before[-1] == "--cfg":
        return _starting(("job", "hydra", "all"), current)
    if current.startswith("-"):
        return _starting(FLAGS, current)
    prefix = current[: len(current) - len(current.lstrip("+~"))]
    key, equals, _ = current[len(prefix) :].partition("=")
    tasks = pages.tasks(config_dir)
    task = _task(before, tasks)
    if not equals:
        names = [f"{prefix}{name}" for name in _names(task, before, config_dir)]
        verbs = list(tasks) if not before else []
        return _starting([*verbs, *names], current)
    if key in path_keys():
        last = key in ("run", "resume") and "last".startswith(current.partition("=")[2])
        return [f"{prefix}{key}=last"] if last else ["<file>"]
    return _starting([f"{prefix}{key}={value}" for value in _values(key, tasks, task, before, config_dir)], current)


def path_keys() -> set[str]:
    """The keys that a task declares as paths."""
    return {key for task in pages.tasks(None) for key in registry(f"genimg.tasks.{task}", "PATH_KEYS")}


def _starting(names: Iterable[str], current: str) -> list[str]:
    return [name for name in names if name.startswith(current)]


def _config_dir(words: list[str]) -> Path | None:
    joined = [word.removeprefix("--config-dir=") for word in words if word.startswith("--config-dir=")]
    apart = [following for word, following in pairwise(words) if word == "--config-dir"]
    return next((Path(given) for given in [*joined, *apart] if Path(given).is_dir()), None)


def _task(before: list[str], tasks: dict[str, str]) -> str:
    named = [word.removeprefix("task=") for word in before if word.startswith("task=")] + before[:1]
    return next((task for task in named if task in tasks), "train")


def _chosen(task: str, before: list[str], config_dir: Path | None) -> dict[str, str]:
    """The choice of each group: the one in the words before, else the default of the root YAML."""
    root = pages.find("", task, config_dir)
    chosen = {group: choice for group, choice in pages.defaults(root) if choice} if root else {}
    given = dict(word.split("=", 1) for word in before if "=" in word)
    return {group: given.get(group, choice) for group, choice in chosen.items()}


def _names(task: str, before: list[str], config_dir: Path | None) -> list[str]:
    """Every `group=` and `key=` of the task."""
    root = pages.find("", task, config_dir)
    found = ["task="]
    for group, choice in _chosen(task, before, config_dir).items():
        nested = [name for name in pages.groups(config_dir) if name.startswith(f"{group}/")]
        found += [f"{name}=" for name in (group, *nested)]
        found += [f"{group}.{key.name}=" for key in pages.all_keys(group, choice, config_dir) if key.default]
    found += [f"{key.name}=" for key in pages.keys(root) if key.default and key.name != "task"] if root else []
    return found


def _values(key: str, tasks: dict[str, str], task: str, before: list[str], config_dir: Path | None) -> list[str]:
    """The choices of a group, or of a key whose rule lists them."""
    from genimg.common.rules import rule_for

    if key == "task":
        return list(tasks)
    choices = pages.groups(config_dir).get(key)
    if choices is not None:
        return list(choices)
    rule = rule_for(key)
    return [] if rule is None else list(rule.completions)
