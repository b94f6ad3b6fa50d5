// The settings that the reference trains its two families with, as its get_config functions give them for ImageNet.
// Data to compare and to look up; our own training takes its options elsewhere.

const IMAGES = 1_281_167;
const EPOCHS = 360;

/** `experiment_nfnets.py: get_config`, for F0. */
export const nfnetExperiment = () =>
  experiment(4096, {
    lr: 0.1,
    model: "NFNet",
    augment_name: "cutmix_mixup_randaugment_405",
    augment_before_mix: false,
    eval_preproc: "resize_crop_32",
    bfloat16: true,
    lr_scale_by_bs: true,
    lr_schedule: warmupCosine(4096, 0),
    optimizer: {
      name: "SGD_AGC",
      kwargs: { momentum: 0.9, nesterov: true, weight_decay: 2e-5, clipping: 0.01, eps: 1e-3 },
    },
    model_kwargs: {
      variant: "F0",
      width: 1,
      se_ratio: 0.5,
      alpha: 0.2,
      stochdepth_rate: 0.25,
      drop_rate: null, // the variant's
      activation: "gelu",
      final_conv_mult: 2,
      final_conv_ch: null,
      use_two_convs: true,
    },
  });

/** `experiment_nf_regnets.py: get_config`, for B0. */
export const nfRegnetExperiment = () =>
  experiment(1024, {
    lr: 0.4,
    model: "NF_RegNet",
    augment_name: "mixup_cutmix",
    bfloat16: false,
    lr_scale_by_bs: false,
    lr_schedule: warmupCosine(1024, 0.001),
    optimizer: { name: "SGD", kwargs: { momentum: 0.9, nesterov: true, weight_decay: 5e-5 } },
    model_kwargs: {
      variant: "B0",
      width: 0.75,
      expansion: 2.25,
      se_ratio: 0.5,
      alpha: 0.2,
      stochdepth_rate: 0.1,
      drop_rate: null,
      activation: "silu",
    },
  });

const steps = (batch: number) => Math.floor((IMAGES * EPOCHS) / batch);

const warmupCosine = (batch: number, min: number) => ({
  name: "WarmupCosineDecay",
  kwargs: {
    num_steps: steps(batch),
    start_val: 0,
    min_val: min,
    warmup_steps: (5 * IMAGES) / batch,
  },
});

function experiment<Own extends object>(batch: number, own: Own) {
  return {
    training_steps: steps(batch),
    random_seed: 0,
    experiment_kwargs: {
      config: {
        num_epochs: EPOCHS,
        label_smoothing: 0.1,
        image_size: 224,
        use_ema: true,
        ema_decay: 0.99999,
        ema_start: 0,
        train_batch_size: batch,
        eval_batch_size: 50,
        eval_subset: "test",
        num_classes: 1000,
        which_dataset: "imagenet",
        which_loss: "softmax_cross_entropy",
        ...own,
      },
    },
    log_train_data_interval: 60,
    log_tensors_interval: 60,
    save_checkpoint_interval: 60,
    eval_specific_checkpoint_dir: "",
  };
}
