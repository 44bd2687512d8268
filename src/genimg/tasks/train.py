"""`task=train`: trains a model, writes its checkpoints, then draws samples from the best."""

from typing import Any

from genimg.config.cross_checks import (
    Check,
    check_actions,
    check_allow_changes,
    check_batch_statistics,
    check_budget,
    check_data_root,
    check_devices,
    check_fit,
    check_given_frames,
    check_groups,
    check_half,
    check_kind,
    check_labels,
    check_lr_schedule,
    check_name,
    check_network,
    check_num_classes,
    check_outputs,
    check_padding,
    check_parts,
    check_processes,
    check_run_dir,
    resolve_init_from,
)

CHECKS = (
    Check(check_budget),
    Check(check_run_dir, needs_machine=True),
    Check(check_name),
    Check(check_outputs),
    Check(check_allow_changes),
    Check(resolve_init_from, needs_machine=True),
    Check(check_parts),
    Check(check_network, unresolved=True),
    Check(check_kind),
    Check(check_given_frames),
    Check(check_data_root, needs_machine=True),
    Check(check_labels),
    Check(check_num_classes),
    Check(check_actions, needs_machine=True),
    Check(check_batch_statistics),
    Check(check_lr_schedule),
    Check(check_padding),
    Check(check_devices, needs_machine=True),
    Check(check_half, needs_machine=True),
    Check(check_processes),
    Check(check_fit),
    Check(check_groups),
)
PATH_KEYS = ("data.root", "data.test_file", "data.cache", "resume", "init_from", "outputs", "run_dir", "sweep.resume")


def run(config: dict[str, Any]) -> int:
    """Runs the task and returns the exit code."""
    from genimg.common.lightning import import_lightning

    import_lightning()
    from genimg.training.fit import run

    return run(config)
