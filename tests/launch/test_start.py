"""Starting a run: unique run folders, exit codes and signals forwarded, nothing left behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from genimg.common.errors import UserError
from genimg.common.processes import ProcessGroupFiles
from genimg.common.run_folder import RunFolder
from genimg.launch.agent import failed_exit_code
from genimg.launch.start import SignalForwarder, start

# Replaces genimg.launch.worker: does what `seed` says, without torch.
WORKER = """
import os, signal, sys, time
from pathlib import Path
from omegaconf import OmegaConf
from genimg.common.processes import unblock_interrupts
config = OmegaConf.load(sys.argv[1])
if config.seed == "quiet":
    sys.exit(config.num)
if config.seed == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
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
    unblock_interrupts()
    note("pid", os.getpid())
    while True:
        time.sleep(0.05)
speed = [os.environ.get(name) for name in ("OMP_WAIT_POLICY", "MALLOC_TRIM_THRESHOLD_")]
note(sys.argv[1], os.getsid(0) == os.getpid(), config.seed, *speed)
if config.seed == "checkpoint":
    (here / "checkpoints").mkdir()
    (here / "checkpoints" / "last.pt").touch()
sys.exit(config.num)
"""


@pytest.fixture
def config(tmp_path: Path) -> DictConfig:
    (tmp_path / "outputs").mkdir()
    values = {"task": "train", "seed": "${num}", "num": 0, "dry_run": False, "resume": None, "run_dir": None}
    return OmegaConf.create({**values, "outputs": str(tmp_path / "outputs")})


def run_task(config: DictConfig, *words: str, command: str = "", lock_timeout: float = 10) -> int:
    """The exit code of `start` with the stand-in as the worker. `config` is not changed."""
    worker = (sys.executable, "-c", WORKER)
    return start(config.copy(), "gan-digits", [*words], command, worker=worker, lock_timeout=lock_timeout)


def _runs(config: DictConfig) -> list[Path]:
    return sorted(Path(config.outputs).glob("*/*"))


def test_a_run_folder_contains_what_repeats_the_run(config: DictConfig) -> None:
    assert run_task(config, "seed=1", command="genimg-train seed=1") == 0
    (run,) = map(RunFolder, _runs(config))
    saved = OmegaConf.load(run.config)
    assert saved.run_dir == str(run.path)
    assert saved.seed == 0, "the stored configuration is resolved"
    assert run.path.name.endswith("-gan-digits")
    assert run.overrides.read_text() == "seed=1\n"
    assert run.command.read_text() == "genimg-train seed=1\n"
    noted = Path(config.outputs, "noted").read_text()
    assert noted.startswith(f"{run.config} True 0 "), "the worker has its own session and reads the resolved file"


def test_two_runs_in_one_second_do_not_share_a_folder(config: DictConfig) -> None:
    for _ in range(4):
        run_task(config)
    assert len(_runs(config)) == 4


def test_the_command_returns_the_exit_code_of_the_worker(config: DictConfig) -> None:
    config.num = 7
    assert run_task(config) == 7
    assert len(_runs(config)) == 1, "a run that failed keeps its log"


def test_a_worker_that_the_system_ends_is_reported(config: DictConfig, capfd: pytest.CaptureFixture[str]) -> None:
    config.seed = "killed"
    assert run_task(config) == 128 + signal.SIGKILL
    assert "error: the process of the run was ended by SIGKILL, as when memory runs out" in capfd.readouterr().err


def test_a_mistake_that_the_worker_finds_leaves_no_folder(config: DictConfig) -> None:
    config.num = 2
    assert run_task(config) == 2
    assert [path.name for path in Path(config.outputs).iterdir()] == ["noted"]
    config.seed = "checkpoint"
    assert run_task(config) == 2
    assert len(_runs(config)) == 1, "a checkpoint is never removed"


def test_an_outputs_folder_created_for_a_run_that_never_began_is_removed(config: DictConfig, tmp_path: Path) -> None:
    for seed in ("checkpoint", "quiet"):
        config.update({"num": 2, "seed": seed, "outputs": str(tmp_path / seed / "outputs")})
        run_task(config)
    assert (tmp_path / "checkpoint" / "outputs").exists()
    assert not (tmp_path / "quiet").exists()


@pytest.mark.parametrize("exists", [False, True])
def test_a_run_may_be_given_its_folder(config: DictConfig, tmp_path: Path, exists: bool) -> None:
    exact = tmp_path / "deep" / "exact"
    if exists:
        exact.mkdir(parents=True)
    config.run_dir = str(exact)
    assert run_task(config) == 0
    assert (exact / "config.yaml").exists()
    config.run_dir = str(exact)
    with pytest.raises(UserError, match=r"run_dir.*\n.*a new folder"):
        run_task(config)
    assert (exact / "config.yaml").exists()


@pytest.mark.parametrize("inside", ["", "a/b", "link"])
def test_of_the_folders_of_a_run_that_never_began_only_new_ones_are_removed(
    config: DictConfig, tmp_path: Path, inside: str
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir(mode=0o700)
    other.mkdir()
    (mine / "link").symlink_to(other)
    if not inside:
        (mine / "link").unlink()
    before = sorted(mine.rglob("*")), mine.stat().st_ino, mine.stat().st_mode
    config.update({"num": 2, "run_dir": str(mine / inside)})
    assert run_task(config) == 2
    assert (sorted(mine.rglob("*")), mine.stat().st_ino, mine.stat().st_mode) == before
    assert list(other.iterdir()) == []


def test_a_run_may_use_the_empty_folder_it_is_started_in(
    config: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    config.run_dir = "."
    assert run_task(config) == 0
    assert Path("config.yaml").exists()


def test_of_two_commands_with_one_folder_the_second_is_refused_and_removes_nothing(
    config: DictConfig, tmp_path: Path
) -> None:
    config.run_dir = str(tmp_path / "both")
    (tmp_path / "both").mkdir()
    run = RunFolder(tmp_path / "both")

    def defaults(_: DictConfig) -> None:
        with pytest.raises(UserError, match="no other process"):  # the first command has just taken the folder
            run_task(config, lock_timeout=0.1)
        assert run.path.is_dir()

    worker = (sys.executable, "-c", WORKER)
    assert start(config.copy(), "gan-digits", [], "", defaults=defaults, worker=worker) == 0
    assert run.config.exists()


def test_a_command_that_owns_no_folder_has_none(config: DictConfig, tmp_path: Path) -> None:
    config.update(
        {"run_dir": str(tmp_path / "exact"), "launch": {"node_rank": 1}, "trainer": {"devices": 1, "num_nodes": 1}}
    )
    assert run_task(config) == 0
    assert not (tmp_path / "exact").exists()


def test_a_refused_resume_leaves_the_run_as_it_was(config: DictConfig) -> None:
    run_task(config, "seed=1", command="genimg-train seed=1")
    (run,) = map(RunFolder, _runs(config))
    run.overrides.unlink()
    os.utime(run.config, (1_000_000, 1_000_000))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.path.iterdir()}
    config.update({"resume": str(run.path), "num": 2})
    assert run_task(config, "dry_run=false", command="genimg-train resume=last") == 2
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.path.iterdir()} == before
    config.num = 0
    assert run_task(config, "dry_run=false", command="genimg-train resume=last") == 0
    assert run.command.read_text() == "genimg-train seed=1\ngenimg-train resume=last\n"


@pytest.mark.parametrize("change", [{"task": "sample"}, {"dry_run": True}])
def test_a_sample_or_a_dry_run_makes_no_run_folder(config: DictConfig, change: dict[str, object]) -> None:
    config.update(change)
    assert run_task(config) == 0
    assert _runs(config) == []
    assert not Path(Path(config.outputs, "noted").read_text().split()[0]).exists()


# A separate parent process, so that signals reach it and not the tests.
PARENT = """
import signal, sys
from pathlib import Path
from omegaconf import OmegaConf
from genimg.launch.start import start
here = Path(sys.argv[1])
for name in sys.argv[3:]:
    signal.signal(signal.Signals[name], signal.SIG_IGN)
worker = (sys.executable, "-c", sys.argv[2])
sys.exit(start(OmegaConf.load(here / "config.yaml"), "gan-digits", [], "", worker=worker))
"""


def _waiting(config: DictConfig, tmp_path: Path, stubborn: bool, *ignored: str) -> tuple[subprocess.Popen[bytes], int]:
    """A parent whose worker waits, and the worker's process id. stubborn: it survives signals.

    ignored: the signals that the parent's caller ignores, as nohup does.
    """
    config.update({"seed": "wait", "dry_run": stubborn})
    OmegaConf.save(config, tmp_path / "config.yaml")
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), WORKER, *ignored])
    return parent, int(_noted(config, "pid"))


def _noted(config: DictConfig, what: str) -> str:
    noted = Path(config.outputs, "noted")
    for _ in range(2400):  # a minute, for a busy machine
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
def test_signals_are_forwarded_and_determine_the_exit_code(
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
    assert f"before the first checkpoint: there is none in {_runs(config)[0]}" in capfd.readouterr().err


def test_a_run_is_not_resumed_while_it_is_trained(config: DictConfig, tmp_path: Path) -> None:
    parent, worker = _waiting(config, tmp_path, stubborn=False)
    (run,) = _runs(config)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.iterdir()}
    config.update({"seed": "quiet", "resume": str(run)})
    for _ in ("both live", "its command was killed, and the worker may still save"):
        with pytest.raises(UserError, match="no other process") as refused:
            run_task(config, "num=0", lock_timeout=0.2)
        assert refused.value.key == "resume"
        assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.iterdir()} == before
        parent.kill()
        parent.wait()
    threading.Timer(0.3, os.kill, (worker, signal.SIGKILL)).start()
    assert run_task(config, "num=0", lock_timeout=60) == 0


@pytest.mark.parametrize("ignored", ["SIGHUP", "SIGINT"])
def test_a_signal_that_the_caller_ignores_stays_ignored(ignored: str, config: DictConfig, tmp_path: Path) -> None:
    parent, worker = _waiting(config, tmp_path, False, ignored)
    parent.send_signal(signal.Signals[ignored])
    time.sleep(0.3)
    assert parent.poll() is None and _alive(worker)
    parent.terminate()
    assert parent.wait(60) == 128 + signal.SIGTERM
    assert int(_noted(config, "signal")) == signal.SIGTERM


def test_a_signal_reaches_the_agent_if_the_listener_of_the_group_has_died(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    files = ProcessGroupFiles(tmp_path)
    (tmp_path / "listener").write_text(str(dead.pid))
    forward = SignalForwarder(files)
    forward.child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    forward(signal.SIGTERM, None)
    assert forward.child.wait(60) == -signal.SIGTERM
    assert files.requested_stop() == 143


@pytest.mark.parametrize("final", [True, False])
def test_the_agent_prints_nothing_if_a_worker_has_printed_an_error_that_no_restart_solves(
    final: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, log = ProcessGroupFiles(tmp_path), RunFolder(tmp_path).log
    assert files.claim_failure(attempt=0), "before the restarts"
    if final:
        files.set_exit_code(1)
    log.touch()
    assert failed_exit_code(files, rank=0, exit_code=1, attempt=2, log=log) == 1
    printed = capsys.readouterr().err
    assert printed == "" if final else "exit code 1" in printed and str(log) in printed


def test_on_a_full_disk_the_previous_configuration_is_kept(config: DictConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    run_task(config)
    (run,) = _runs(config)
    before = (run / "config.yaml").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for resume in (str(run), None):
        config.update({"resume": resume, "num": 3})
        with pytest.raises(UserError, match="No space left"):
            run_task(config)
        assert (run / "config.yaml").read_bytes() == before
        assert _runs(config) == [run]


def test_a_worker_gets_the_environment_for_its_speed(config: DictConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "7")
    assert run_task(config) == 0
    assert Path(config.outputs, "noted").read_text().split()[-2:] == ["PASSIVE", "7"]


def test_a_second_ctrl_c_kills_at_once(config: DictConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    parent, worker = _waiting(config, tmp_path, stubborn=True)
    parent.send_signal(signal.SIGINT)
    _noted(config, "signal")
    parent.send_signal(signal.SIGINT)
    assert parent.wait(60) == 130
    assert not _alive(worker)
    assert "what was being saved is lost" in capfd.readouterr().err
