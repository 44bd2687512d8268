"""The command: `genimg-train key=value ...` or `genimg sample run=last`.

Nothing here imports torch. Help and completion do not import Hydra either, so that they answer quickly.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from genimg import __version__
from genimg.common.display import protect_standard_streams, show
from genimg.common.errors import EXIT_CODE, UserError, nearest
from genimg.config.flags import FLAGS, SHORT, WITH_VALUE, is_sweep
from genimg.config.vocabulary import key_of_flag


class Command(NamedTuple):
    """A parsed command line."""

    task: str
    words: list[str]  # the overrides, without the task
    flags: dict[str, str]  # "" for a flag without a value
    config_dir: Path | None


def main(worker: Sequence[str] | None = None) -> int:
    """The console script. Exit codes: 0 done, 1 failed, 2 user error, 130 Ctrl-C, 143 SIGTERM."""
    protect_standard_streams()
    try:
        return run(sys.argv[1:], worker)
    except UserError as error:
        if os.environ.get("GENIMG_TRACE") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        return EXIT_CODE
    except KeyboardInterrupt:
        return 130


def run(words: list[str], worker: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code. Raises UserError for a mistake in `words`.

    worker: the command that runs one process, in place of `genimg.launch.start.WORKER`.
    """
    if words[:1] == ["--complete"]:
        from genimg.cli.completion import complete

        return complete(words[1:])
    command = read(words)
    if "--version" in command.flags:
        show(f"genimg-train {__version__}\n")
        return 0
    if "--completion" in command.flags:
        from genimg.cli.completion import script

        show(script(command.flags["--completion"]) + "\n")
        return 0
    if "--help" in command.flags:
        from genimg.cli.help import text

        show(text(command.task if _names_task(words) else None, command.words, FLAGS, command.config_dir) + "\n")
        return 0
    from genimg.launch.session import Session

    given = (command.task, command.words, command.config_dir)
    session, cfg = Session(*given) if worker is None else Session(*given, worker), command.flags.get("--cfg")
    resolve = "--resolve" in command.flags
    if "--info" in command.flags:
        if "--multirun" in command.flags:
            raise UserError("--info", "-m", "a single run", "-m ... --cfg job prints the jobs")
        return session.info()
    if "--multirun" in command.flags or is_sweep(session.words):
        from genimg.sweeps.run import print_jobs, sweep

        return sweep(session) if cfg is None else print_jobs(session, cfg, resolve)
    return session.run(cfg, resolve)


def read(words: list[str]) -> Command:
    """Splits the command line into flags, the task and the overrides."""
    from genimg.config.yaml_text import tasks

    words = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    flags: dict[str, str] = {}
    overrides: list[str] = []
    position = 0
    while position < len(words):
        word = SHORT.get(words[position], words[position])
        position += 1
        if not word.startswith("-"):
            overrides.append(word)
            continue
        if word not in FLAGS:
            raise _unknown_flag(word)
        flags[word] = ""
        if word in WITH_VALUE:
            if position == len(words):
                raise UserError(word, None, f"a value: {FLAGS[word]}")
            flags[word] = words[position]
            position += 1
    config_dir = _config_dir(flags.get("--config-dir"))
    if flags.get("--cfg", "job") not in ("job", "hydra", "all"):
        raise UserError("--cfg", flags["--cfg"], "job, hydra or all")
    known = tasks(config_dir)
    task = flags.get("--config-name", "train").removesuffix(".yaml")
    if overrides and "=" not in overrides[0] and overrides[0] in known:
        task = overrides.pop(0)
    for word in overrides:
        if word.lstrip("+").startswith("task="):
            task = word.split("=", 1)[1]
    if task not in known:
        near = nearest(task, known)
        raise UserError("task", task, " or ".join(known), hint=f"did you mean task={near}?" if near else None)
    return Command(task, [w for w in overrides if not w.lstrip("+").startswith("task=")], flags, config_dir)


def _names_task(words: list[str]) -> bool:
    from genimg.config.yaml_text import tasks

    return any(word.startswith("task=") for word in words) or (bool(words) and words[0] in tasks(None))


def _config_dir(given: str | None) -> Path | None:
    if given is None:
        return None
    if not Path(given).is_dir():
        raise UserError("--config-dir", given, "a folder that exists, with YAML files in folders named like the groups")
    if "${" in str(Path(given).resolve()):
        raise UserError("--config-dir", given, "a path without ${, which Hydra would resolve", "rename it")
    return Path(given)


def _unknown_flag(word: str) -> UserError:
    near, ours = nearest(word, FLAGS, cutoff=0.75), key_of_flag(word)
    hint = f"did you mean {near}?" if near else "settings are written as key=value, without dashes"
    if ours is not None:
        hint = f"settings are written as key=value, without dashes: {ours}=..."
    return UserError(word, None, "one of " + ", ".join(FLAGS), hint=hint)


if __name__ == "__main__":
    sys.exit(main())
