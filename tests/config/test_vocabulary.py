"""Names that other programs have for our keys lead to them."""

from __future__ import annotations

import pytest

from genimg.cli.main import read
from genimg.common.errors import UserError
from genimg.config import vocabulary
from genimg.config.compose import Composer
from genimg.launch.session import check

#: The help of other programs, word for word.
HELP = {
    "stylegan3": "--outdir --gpus --batch --gamma --cond --mirror --aug --freezed --batch-gpu --cbase --cmax --glr "
    "--dlr --desc --kimg --snap --fp32 --workers --seed --p --target --trunc",
    "lightweight-gan": "--results_dir --models_dir --load_from --image_size --batch_size --num_train_steps "
    "--learning_rate --num_workers --save_every --evaluate_every --generate_interpolation --interpolation_num_steps "
    "--num_image_tiles --aug_prob --aug_types --calculate_fid_every --calculate_fid_num_images --amp "
    "--network_capacity",
    "diffusers": "--train_data_dir --output_dir --resolution --center_crop --random_flip --train_batch_size "
    "--dataloader_num_workers --num_train_epochs --max_train_steps --lr_scheduler --lr_warmup_steps --adam_beta1 "
    "--mixed_precision --checkpointing_steps --checkpoints_total_limit --save_images_epochs --max_grad_norm",
    "openstl": "--epoch --lr --data_root --pre_seq_length --sched --warmup_epoch --clip_grad --ex_name --res_dir "
    "--fp16 --early_stop_epoch --batch_size",
    "ultralytics": "--imgsz --epochs --batch --patience --save_period --workers --pretrained --fraction --lr0 "
    "--cos_lr --warmup_epochs --deterministic --width",
}
NOT_HERE = {"--freezed", "--glr", "--dlr", "--seed", "--p", "--fp32"}  # a key of ours by its name, or no single key


@pytest.fixture(scope="module")
def composers() -> dict[str, Composer]:
    return {task: Composer(task) for task in ("train", "sample")}


@pytest.mark.parametrize("ours", vocabulary._NAMES)
def test_keys_of_other_names_are_one_message_with_our_key(ours: str, composers: dict[str, Composer]) -> None:
    task = "train" if ours.partition(".")[0] in composers["train"].defaults([]) else "sample"
    names = vocabulary._NAMES[ours].split()
    with pytest.raises(UserError) as mistake:
        check(composers[task], [f"{names[-1]}=1"], on_this_machine=False)
    assert ours in str(mistake.value.hint)
    for theirs in names:
        assert vocabulary.our_key(theirs.replace("_", "-").upper()) == ours


@pytest.mark.parametrize("program", HELP)
def test_a_flag_of_another_program_is_one_message_with_our_key(program: str) -> None:
    for flag in HELP[program].split():
        with pytest.raises(UserError) as mistake:
            read([flag, "1"])
        hint = str(mistake.value.hint)
        assert "without dashes" in hint or "did you mean --" in hint
        assert flag in NOT_HERE or f"{vocabulary.key_of_flag(flag)}=..." in hint, flag


def test_there_are_many_and_each_has_one_meaning() -> None:
    words = [theirs for names in vocabulary._NAMES.values() for theirs in names.split()]
    assert len(words) == len(set(words)) > 150
