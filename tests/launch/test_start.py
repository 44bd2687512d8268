"""The launch: run folders that never collide, exit codes and signals passed on, nothing left behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import DictConfig, OmegaConf

from genimg.common import files
from genimg.common.errors import UserError
from genimg.common.processes import Control
from genimg.common.run_folder import RunFolder
from genimg.launch import agent
from genimg.launch import start as launch

# Stands in for genimg.launch.worker: does what `seed` says, without torch.
WORKER = """
import os, signal, sys, time
from pathlib import Path
from omegaconf import OmegaConf
from genimg.common.processes import hear_interrupts
config = OmegaConf.load(sys.argv[1])
if config.seed == "quiet":
    sys.exit(config.num)
here = Path(sys.argv[1]).parent
def note(*args):
    Path(config.outputs, "noted").write_text(" ".join(str(a) for a in args))
if config.seed == "wait":
    def stop(number, frame):
        note("signal", number)
        if not config.dry_run:
            sys.exit(128 + number)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    hear_interrupts()
    note("pid", os.getpid())
    while True:
        time.sleep(0.05)
note(sys.argv[1], os.getsid(0) == os.getpid(), config.seed)
if config.seed == "checkpoint":
    (here / "checkpoints").mkdir()
    (here / "checkpoints" / "last.pt").touch()
sys.exit(config.num)
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DictConfig:
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.setattr(launch, "WORKER", (sys.executable, str(tmp_path / "worker.py")))
    (tmp_path / "outputs").mkdir()
    values = {"task": "train", "seed": "${num}", "num": 0, "dry_run": False, "resume": None, "run_dir": None}
    return OmegaConf.create({**values, "outputs": str(tmp_path / "outputs")})


def _runs(config: DictConfig) -> list[Path]:
    return sorted(Path(config.outputs).glob("*/*"))


def test_a_run_folder_tells_how_to_repeat_the_run(config: DictConfig) -> None:
    assert launch.start(config, "gan-digits", ["seed=1"], "genimg-train seed=1") == 0
    (run,) = map(RunFolder, _runs(config))
    saved = OmegaConf.load(run.config)
    assert saved.run_dir == str(run.path)
    assert saved.seed == 0, "what is stored is resolved"
    assert run.path.name.endswith("-gan-digits")
    assert run.overrides.read_text() == "seed=1\n"
    assert run.command.read_text() == "genimg-train seed=1\n"
    noted = Path(config.outputs, "noted").read_text()
    assert noted == f"{run.config} True 0", "the worker has a session of its own and sees the resolved file"


def test_two_runs_in_one_second_do_not_share_a_folder(config: DictConfig) -> None:
    for _ in range(4):
        launch.start(config.copy(), "gan-digits", [], "genimg-train")
    assert len(_runs(config)) == 4


def test_the_exit_code_of_the_worker_is_the_commands(config: DictConfig) -> None:
    config.num = 7
    assert launch.start(config, "gan-digits", [], "") == 7
    assert len(_runs(config)) == 1, "a run that failed keeps its log"


def test_a_mistake_found_late_leaves_no_folder(config: DictConfig) -> None:
    config.num = 2
    assert launch.start(config.copy(), "gan-digits", [], "") == 2
    assert [path.name for path in Path(config.outputs).iterdir()] == ["noted"]
    config.seed = "checkpoint"
    assert launch.start(config, "gan-digits", [], "") == 2
    assert len(_runs(config)) == 1, "a checkpoint is never thrown away"


def test_an_outputs_folder_made_for_a_run_that_never_began_goes_with_it(config: DictConfig, tmp_path: Path) -> None:
    for seed in ("checkpoint", "quiet"):
        config.update({"num": 2, "seed": seed, "outputs": str(tmp_path / seed / "outputs")})
        launch.start(config.copy(), "gan-digits", [], "")
    assert (tmp_path / "checkpoint" / "outputs").exists()
    assert not (tmp_path / "quiet").exists()


def test_a_refused_resume_leaves_the_run_as_it_was(config: DictConfig) -> None:
    launch.start(config.copy(), "gan-digits", ["seed=1"], "genimg-train seed=1")
    (run,) = map(RunFolder, _runs(config))
    run.overrides.unlink()
    os.utime(run.config, (1_000_000, 1_000_000))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.path.iterdir()}
    config.update({"resume": str(run.path), "num": 2})
    assert launch.start(config.copy(), "", ["dry_run=false"], "genimg-train resume=last") == 2
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.path.iterdir()} == before
    config.num = 0
    assert launch.start(config.copy(), "", ["dry_run=false"], "genimg-train resume=last") == 0
    assert run.command.read_text() == "genimg-train seed=1\ngenimg-train resume=last\n"


@pytest.mark.parametrize("change", [{"task": "sample"}, {"dry_run": True}])
def test_a_sample_or_a_dry_run_makes_no_run_folder(config: DictConfig, change: dict[str, object]) -> None:
    config.update(change)
    assert launch.start(config, "", [], "") == 0
    assert _runs(config) == []
    assert not Path(Path(config.outputs, "noted").read_text().split()[0]).exists()


# A parent of its own, so that signals reach it and not the tests.
PARENT = """
import signal, sys
from pathlib import Path
from omegaconf import OmegaConf
from genimg.launch import start as launch
here = Path(sys.argv[1])
for name in sys.argv[2:]:
    signal.signal(signal.Signals[name], signal.SIG_IGN)
launch.WORKER = (sys.executable, str(here / "worker.py"))
sys.exit(launch.start(OmegaConf.load(here / "config.yaml"), "gan-digits", [], ""))
"""


def _waiting(config: DictConfig, tmp_path: Path, stubborn: bool, *ignored: str) -> tuple[subprocess.Popen[bytes], int]:
    """A parent whose worker waits, and the worker's process id. stubborn: it lives through signals.

    ignored: the signals that the parent's caller ignores, as nohup does.
    """
    config.update({"seed": "wait", "dry_run": stubborn})
    OmegaConf.save(config, tmp_path / "config.yaml")
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), *ignored])
    return parent, int(_noted(config, "pid"))


def _noted(config: DictConfig, what: str) -> str:
    noted = Path(config.outputs, "noted")
    for _ in range(2400):  # a minute, for a machine with other work
        found = noted.read_text() if noted.exists() else ""  # read once: the worker may write the next one
        if found.startswith(f"{what} "):
            return found.split()[1]
        time.sleep(0.025)
    raise AssertionError(f"the worker never noted {what}")


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("sent", "received"),
    [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM), (signal.SIGHUP, signal.SIGTERM)],
)
def test_signals_are_passed_on_and_named_in_the_exit_code(
    sent: signal.Signals,
    received: signal.Signals,
    config: DictConfig,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    parent, worker = _waiting(config, tmp_path, stubborn=False)
    parent.send_signal(sent)
    assert parent.wait(60) == 128 + received
    assert int(_noted(config, "signal")) == received
    assert not _alive(worker)
    assert f"before there was a checkpoint: {_runs(config)[0]}" in capfd.readouterr().err


def test_a_run_is_not_resumed_while_it_is_trained(
    config: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "hold_lock", partial(files.hold_lock, seconds=0.2))
    parent, worker = _waiting(config, tmp_path, stubborn=False)
    (run,) = _runs(config)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.iterdir()}
    config.update({"seed": "quiet", "resume": str(run)})
    for _ in ("both live", "its command was killed, and it may be saving still"):
        with pytest.raises(UserError, match="no other process") as refused:
            launch.start(config.copy(), "", ["num=0"], "")
        assert refused.value.key == "resume"
        assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.iterdir()} == before
        parent.kill()
        parent.wait()
    monkeypatch.setattr(launch, "hold_lock", partial(files.hold_lock, seconds=20))
    threading.Timer(0.3, os.kill, (worker, signal.SIGKILL)).start()
    assert launch.start(config.copy(), "", ["num=0"], "") == 0


@pytest.mark.parametrize("ignored", ["SIGHUP", "SIGINT"])
def test_a_signal_that_the_caller_ignores_stays_ignored(ignored: str, config: DictConfig, tmp_path: Path) -> None:
    parent, worker = _waiting(config, tmp_path, False, ignored)
    parent.send_signal(signal.Signals[ignored])
    time.sleep(0.3)
    assert parent.poll() is None and _alive(worker)
    parent.terminate()
    assert parent.wait(60) == 128 + signal.SIGTERM
    assert int(_noted(config, "signal")) == signal.SIGTERM


def test_a_signal_is_passed_on_where_the_listener_of_a_group_is_dead(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    control = Control(tmp_path)
    (tmp_path / "listener").write_text(str(gone.pid))
    forward = launch._Forward(control)
    forward.child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    forward(signal.SIGTERM, None)
    assert forward.child.wait(60) == -signal.SIGTERM
    assert control.asked_to_stop() == 143


@pytest.mark.parametrize("final", [True, False])
def test_the_agent_is_silent_where_a_worker_has_said_why_no_other_try_helps(
    final: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    control, failure = Control(tmp_path), SimpleNamespace(exitcode=1)
    assert control.speaks(0), "before it was started anew, to no purpose"
    if final:
        control.end_with(1)
    config = OmegaConf.create({"launch": {"max_restarts": 2}, "run_dir": str(tmp_path)})
    RunFolder(tmp_path).log.touch()
    assert agent._failed(control, config, 0, failure) == 1  # pyright: ignore[reportArgumentType]
    said = capsys.readouterr().err
    assert said == "" if final else "exit code 1" in said and str(RunFolder(tmp_path).log) in said


def test_a_configuration_that_does_not_fit_the_disk_leaves_the_one_before(
    config: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch.start(config, "gan-digits", [], "")
    (run,) = _runs(config)
    before = (run / "config.yaml").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for resume in (str(run), None):
        config.update({"resume": resume, "num": 3})
        with pytest.raises(UserError, match="No space left"):
            launch.start(config, "gan-digits", [], "")
        assert (run / "config.yaml").read_bytes() == before
        assert _runs(config) == [run]


def test_a_worker_is_given_what_is_set_for_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "worker_environment", lambda given: {**given, "SET_FOR_SPEED": "7"})
    code = "import os, sys; sys.exit(int(os.environ['SET_FOR_SPEED']))"
    assert launch._wait_for([sys.executable, "-c", code], None, ()) == 7


def test_a_second_ctrl_c_kills_at_once(config: DictConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    parent, worker = _waiting(config, tmp_path, stubborn=True)
    parent.send_signal(signal.SIGINT)
    _noted(config, "signal")
    parent.send_signal(signal.SIGINT)
    assert parent.wait(60) == 130
    assert not _alive(worker)
    assert "without waiting for what was being saved" in capfd.readouterr().err
