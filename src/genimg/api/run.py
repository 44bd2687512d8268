"""A run folder in Python: its model, its metrics and its report."""

import base64
import html
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

from torch import Tensor

from genimg.api.command import run_command, session_of
from genimg.common.errors import UserError
from genimg.common.files import report_write_errors
from genimg.common.monitored import read_best
from genimg.common.run_folder import RunFolder, find_run
from genimg.evaluation.results import FILE, parse_evaluation
from genimg.report import run as folder_content
from genimg.report.write import write_report
from genimg.sampling.load import load
from genimg.sampling.sampler import Sampler, StreamOptions


class Run:
    """A run that was trained here or elsewhere. A notebook shows its newest sheet of samples.

    Args:
        run: a run folder, or "last", the newest run in `outputs`.
        outputs: folder of the runs.

    Raises:
        UserError: if there is no such run.

    Example:
        >>> import genimg
        >>> run = genimg.Run("last")
        >>> rows = run.history  # pandas.DataFrame(rows) is a table
    """

    def __init__(self, run: str | Path = "last", outputs: str | Path = "outputs") -> None:
        found = find_run(str(run), outputs)
        if isinstance(found, Path):
            raise UserError("run", found, "a run folder, or last", "genimg.load reads a checkpoint file")
        self.folder = RunFolder(found.path.absolute())

    def __repr__(self) -> str:
        return f"genimg.Run({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @cached_property
    def sampler(self) -> Sampler:
        """The best checkpoint, as `genimg.load` returns it; it is read once."""
        return load(self.path)

    def sample(self, num_images: int = 10, **options: Unpack[StreamOptions]) -> Tensor:
        """Images (N, C, H, W) in [-1, 1], or sequences (N, T, C, H, W): see `Sampler.sample`."""
        return self.sampler.sample(num_images, **options)

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl in order, one per log step or validation; `stage` is train or validation."""
        return folder_content.read(self.folder).rows

    @property
    def best(self) -> dict[str, Any] | None:
        """The best value of the metric that selects the checkpoint, and its `name`; None before one."""
        found = read_best(self.folder.best_metric)
        return None if found is None else asdict(found)

    def evaluate(self, **settings: Any) -> dict[str, float]:
        """Measures the best checkpoint as `genimg evaluate` does, and returns {metric: value}.

        Args:
            settings: of the command, such as `num_images=1000` or `features="random"`.

        Raises:
            UserError, RunFailed: as for `genimg.train`.
        """
        if "run" in settings:
            raise UserError("run", settings["run"], "no other run: genimg.Run(OTHER).evaluate()")
        run_command(session_of("evaluate", (), {"run": self.path, **settings}))
        file = Path(settings.get("out") or self.path).expanduser() / FILE
        return {figure.name: figure.value for figure in parse_evaluation(file.read_text(encoding="utf-8")).figures}

    def report(self) -> Path:
        """Writes RUN/report.html from what the folder contains now, and returns its path."""
        with report_write_errors("run", self.path, "a run folder"):
            return write_report(self.folder)

    def _repr_html_(self) -> str:
        sheets = folder_content.read(self.folder).sheets
        title = f"<p>{html.escape(repr(self))}</p>"
        if not sheets:
            return title
        image = sheets[-1][1]
        content = base64.b64encode(image.read_bytes()).decode()
        return f'{title}<img alt="samples" src="data:image/{image.suffix[1:]};base64,{content}">'
