"""What other programs have: other names of our keys, keys and choices that have no counterpart. Each gets a hint.

From the help of StyleGAN (NVIDIA), lightweight-gan, stylegan2-pytorch, StudioGAN, pythae, OpenSTL, diffusers,
Lightning, Ultralytics and torch-fidelity. Words with exactly one meaning here are replaced instead: `meanings.py`.
"""

from __future__ import annotations

#: {our key: their names, in lower case with _ for -}
_NAMES = {
    "budget.epochs": "max_epochs n_epochs num_epochs nepochs epoch num_train_epochs train_epochs total_epochs",
    "budget.images": "kimg nimg total_kimg duration num_train_images",
    "budget.minutes": "hours seconds max_time max_minutes time max_hours time_limit",
    "budget.steps": "max_steps num_steps iterations iters n_iter niter num_iters total_steps num_train_steps max_iters "
    "max_train_steps train_iterations total_iters n_steps",
    "callbacks.frechet_random.num_images": "fid_samples calculate_fid_num_images num_fid_samples num_eval_samples",
    "callbacks.frechet_random.times": "eval_every evaluate_every calculate_fid_every metrics_every fid_every",
    "callbacks.samples.num_images": "num_image_tiles n_sample_images num_sample_images grid_size",
    "callbacks.samples.times": "image_snap sample_every sample_interval steps_predict save_images_epochs "
    "display_freq sample_freq snapshot_images",
    "callbacks.validation.times": "check_val_every_n_epoch val_check_interval val_every validate_every val_interval",
    "checkpoint.every_images": "save_every snap snapshot_ticks checkpointing_steps save_period save_freq save_interval "
    "steps_saving ckpt_interval network_snapshot_ticks save_steps checkpoint_every",
    "checkpoint.keep": "save_top_k checkpoints_total_limit keep_checkpoints max_to_keep num_checkpoints "
    "save_total_limit",
    "data.background": "bg_color background_color pad_color",
    "data.batch_size": "batch bs batchsize batch_per_gpu train_batch_size per_device_train_batch_size batch_gpu",
    "data.channels": "nc img_channels image_channels num_channels in_channels n_channels",
    "data.fit": "center_crop crop_mode resize_mode aspect_ratio resize_type",
    "data.flip": "mirror random_flip hflip horizontal_flip xflip",
    "data.given_frames": "pre_seq_length n_past input_length num_input_frames context_frames",
    "data.image_size": "resolution size res img_size imgsize imsize imagesize imgsz img_resolution image_resolution",
    "data.limit": "limit_train_batches max_images max_train_samples subset_size fraction dataset_size "
    "num_train_samples",
    "data.num_frames": "seq_len sequence_length clip_length n_frames num_input_output_frames",
    "data.root": "path folder dir data_dir datadir dataroot data_path dataset_path data_root train_data_dir "
    "dataset_dir image_dir images_folder",
    "data.test_fraction": "test_split test_ratio test_size",
    "data.val_fraction": "val_split val_ratio valid_fraction val_size validation_split",
    "data.workers": "num_workers n_workers dataloader_num_workers num_data_workers nworkers preprocessing_num_workers",
    "ema.half_life": "ema_kimg ema_decay ema_beta ema_max_decay ema_power ema_rate",
    "ema.ramp": "ema_rampup ema_warmup ema_start ema_start_iter",
    "health.patience": "early_stop early_stop_epoch early_stopping early_stopping_patience",
    "init_from": "pretrained finetune_from transfer_from load_from init_weights_from pretrained_model warm_start "
    "resume_pkl network_pkl pretrained_model_name_or_path",
    "log_every_steps": "log_every log_interval log_freq log_every_n_steps print_freq logging_steps log_step",
    "model.augmentation": "aug augpipe aug_types augmentations ada diffaug augment_policy apply_diffaug apply_ada",
    "model.augmentation_p": "aug_prob augment_p aug_p",
    "model.conditional": "cond class_cond class_conditional conditioning",
    "model.gamma": "r1_gamma r1 gp_weight gamma_r1 r1_weight r1_lambda lambda_gp gradient_penalty_weight",
    "model.generator_optimizer.betas": "adam_betas beta1 adam_beta1 b1",
    "model.latent_dim": "z_dim dim_z nz noise_dim latent_size latent_dims zdim zdims z_size dim_latent",
    "model.lr": "learning_rate lr0 base_lr init_lr start_lr",
    "model.lr_schedule": "lr_scheduler scheduler sched cos_lr scheduler_cls lr_policy",
    "model.lr_warmup": "lr_warmup_steps warmup_epochs warmup warmup_steps lr_rampup warmup_epoch lr_rampup_kimg",
    "model.max_width": "cmax fmap_max channel_max max_channels",
    "model.n_critic": "d_updates_per_step critic_iters n_dis d_steps d_iters num_d_steps critic_steps",
    "model.objective": "loss loss_type gan_mode adv_loss gan_loss loss_function",
    "model.penalty_every": "d_reg_every d_reg_interval reg_interval lazy_reg",
    "model.width": "ngf ndf base_channels channel_multiplier cbase network_capacity fmap_base channel_base nf "
    "base_width g_conv_dim d_conv_dim",
    "name": "exp_name experiment_name run_name ex_name desc run_id expname",
    "outputs": "output output_dir out_dir outdir save_dir log_dir results_dir models_dir res_dir default_root_dir "
    "logdir work_dir exp_dir result_dir",
    "seed": "random_seed manual_seed rng_seed random_state manualseed",
    "tags": "tag wandb_tags",
    "trainer.deterministic": "cudnn_deterministic use_deterministic_algorithms",
    "trainer.devices": "gpus num_gpus n_gpus ngpu num_devices nproc_per_node world_size num_processes n_gpu",
    "trainer.accumulate_grad_batches": "gradient_accumulation_steps accumulation_steps accumulate_steps grad_accum",
    "trainer.gradient_clip_val": "clip_grad clip_grad_norm max_grad_norm grad_clip_norm gradient_clip",
    "trainer.precision": "fp16 amp bf16 mixed_precision use_amp half fp32",
    "trainer.threads": "num_threads torch_threads omp_num_threads cpu_threads",
    # genimg sample
    "classes": "class class_idx class_label class_labels target_class",
    "columns": "ncol num_columns",
    "interpolate": "generate_interpolation interpolation_num_steps interpolation_steps w_frames",
    "num_images": "n_samples num_samples nsamples num_generate sample_num n_images num_fakes",
    "project": "target invert invert_image",
    "project_steps": "projection_steps invert_steps",
    "reconstruct": "recon reconstruct_images",
    "rows": "nrow nrows num_rows",
    "truncation_psi": "trunc psi trunc_psi truncation_trick",
}
#: {our group: {their choice: what there is instead}}
ABSENT = {
    "logger": {
        "aim": "Aim is not tested here, but its own class can be named: logger=none "
        "+logger.aim._target_=aim.pytorch_lightning.AimLogger",
        "neptune": "Neptune's service has ended; logger=wandb, logger=comet or logger=mlflow",
    },
}

_OURS = {theirs: ours for ours, names in _NAMES.items() for theirs in names.split()}
#: {their name: what to do, because no key of ours has this meaning}
_WITHOUT_KEY = {
    "optimized_metric": "remove it: the objective of a search is the metric that selects the best checkpoint",
}
_WITHOUT_GROUP = {key.partition(".")[2]: key for key in _NAMES if key.count(".") == 1}


def our_key(name: str) -> str | None:
    """Our key for the last part of a key of another program; None if it is none of theirs."""
    return _OURS.get(name.rpartition(".")[2].lower().replace("-", "_"))


def without_key(name: str) -> str | None:
    """What to do about a key of another program whose meaning no key has here; None if it is none of them."""
    return _WITHOUT_KEY.get(name.lower())


def key_of_flag(flag: str) -> str | None:
    """Our key for a flag of another program, `--batch-size`; None if it is none of theirs."""
    name = flag.lstrip("-").lower().replace("-", "_")
    return our_key(name) or _WITHOUT_GROUP.get(name)
