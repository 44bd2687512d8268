"""Kills at random moments, resumed until each run is through, and compared with runs that were never killed.

make survive            # 50 kills
python -m tests.survival.long --kills 10 --seed 3
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.survival.harness import MODELS, SMALL, Killed

#: Models, processes; each is run straight once and killed in turn.
KINDS = [(model, processes) for model in MODELS for processes in (1, 2)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    failures = kills = runs = 0
    with tempfile.TemporaryDirectory(prefix="genimg-") as folder:
        straight: dict[tuple[str, int], tuple[dict[str, str], float]] = {}
        while kills < given.kills:
            kind = KINDS[runs % len(KINDS)]
            words = [*SMALL, *MODELS[kind[0]], f"trainer.devices={kind[1]}"]
            if kind not in straight:
                run, started = Killed(Path(folder, f"straight-{kind}"), words), time.monotonic()
                assert run.finish()[0] == 0
                straight[kind] = run.what_it_is(), time.monotonic() - started
            digests, seconds = straight[kind]
            killed = Killed(Path(folder, f"{runs}-{kind}"), words)
            moments = finish_between_kills(killed, seconds, draw, most=min(3, given.kills - kills))
            kills, runs = kills + len(moments), runs + 1
            same = killed.what_it_is() == digests and killed.all_gone()
            failures += not same
            print(
                f"{'same' if same else 'DIFFERENT'}  {kind[0]}, {kind[1]} processes, killed: {', '.join(moments)}",
                flush=True,
            )
            killed.clean_up()
    print(f"{kills} kills, {failures} runs that ended otherwise")
    return 1 if failures else 0


def finish_between_kills(run: Killed, seconds: float, draw: random.Random, most: int) -> list[str]:
    """Starts and kills a run `most` times, resumes it to its end, and returns what was killed when."""
    moments = []
    resume: list[str] = []
    for _ in range(most):
        process = run.start(*resume)
        moment = draw.uniform(0.3, 1.0) * seconds
        time.sleep(moment)
        living = run.processes()
        if living:
            victim = draw.choice(living)
            os.kill(victim, signal.SIGKILL)
            moments.append(f"one of {len(living)} after {moment:.1f} s")
        else:
            moments.append(f"nothing, it was through after {moment:.1f} s")
        process.communicate(timeout=60)
        run.all_gone()
        if any(run.folder.glob("outputs/*/*/checkpoints/*.pt")):
            resume = ["resume=last"]
        else:  # killed before there was one: the next start makes a run of its own
            for place in run.folder.glob("outputs/*/*"):
                place.rename(run.folder / f"lost-{len(moments)}")
    code, said = run.finish(*resume)
    assert code in (0, 2), said  # 2: its budget was spent already
    return moments


if __name__ == "__main__":
    sys.exit(main())
