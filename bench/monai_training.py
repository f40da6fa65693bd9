"""An epoch under MONAI's own training engine, with its own loader and transforms, for `bench.gpu_training`."""

from collections.abc import Callable, Sequence
from math import radians

import torch
from monai.data import DataLoader, Dataset, set_track_meta
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.transforms import Compose, RandAffined, RandFlipd, RandScaleIntensityd, RandShiftIntensityd
from torch import Tensor

from core.learning.cases import TrainingCase
from core.learning.losses import ClassWeights, Targets, case_losses
from core.learning.model import Output, build_model
from core.study import AugmentationSettings, Study
from fl_client.training import in_full_precision, precision_of

# On a GPU: processes that load and vary cases side by side with it.
WORKERS = 8
BOTH = ("image", "tumor_map")
NAMES = (*BOTH, "tumor", "mgmt")


def monai_epoch(
    study: Study, cases: Sequence[TrainingCase], device: torch.device, augmented: bool
) -> Callable[[], None]:
    """Return what trains an epoch: the model, number format, losses, clipping and layout of our own training.

    Its transforms vary as much as ours, but interpolate images and maps one case at a time, on the CPU, where MONAI has
    them; on one CPU in the same process, beside a GPU in several.
    """
    set_track_meta(False)
    model = build_model(study.model, 0).to(device)
    precision = precision_of(study, device)
    known = [(case.image, case.tumor_map, float(case.tumor or 0), float(case.mgmt or 0)) for case in cases]
    rows = [dict(zip(NAMES, each, strict=True)) for each in known]
    on_gpu = device.type == "cuda"
    loader = DataLoader(
        Dataset(rows, _transforms(study.augmentation) if augmented else None),
        batch_size=study.training.batch_size,
        shuffle=True,
        num_workers=WORKERS if on_gpu else 0,
        pin_memory=on_gpu,
        persistent_workers=on_gpu,
    )

    def loss(output: Output, targets: Targets) -> Tensor:
        return case_losses(in_full_precision(output), targets, ClassWeights()).total(1.0)

    trainer = SupervisedTrainer(
        device=device,
        max_epochs=0,
        train_data_loader=loader,
        network=model,
        optimizer=torch.optim.AdamW(model.parameters(), study.training.learning_rate),
        loss_function=loss,
        non_blocking=True,
        prepare_batch=_batch,
        amp=precision != torch.float32,
        amp_kwargs={"dtype": precision} if precision != torch.float32 else None,
        decollate=False,
        optim_set_to_none=True,
    )

    def clip() -> None:
        if trainer.scaler is not None:
            trainer.scaler.unscale_(trainer.optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), study.training.gradient_clip)

    trainer.add_event_handler(IterationEvents.BACKWARD_COMPLETED, clip)

    def epoch() -> None:
        trainer.state.max_epochs += 1
        trainer.run()

    return epoch


def _batch(
    rows: dict[str, Tensor], device: torch.device, non_blocking: bool = False, **_: object
) -> tuple[Tensor, Targets]:
    image, tumor_map, tumor, mgmt = (rows[name].to(device, torch.float32, non_blocking=non_blocking) for name in NAMES)
    return image.to(memory_format=torch.channels_last_3d), Targets(tumor_map, tumor, mgmt)


def _transforms(settings: AugmentationSettings) -> Compose:
    turn = (-radians(settings.rotation_degrees), radians(settings.rotation_degrees))
    size = (-settings.zoom, settings.zoom)
    return Compose(
        [
            *(RandFlipd(BOTH, prob=0.5, spatial_axis=axis) for axis in range(3)),
            # One each, as images and maps differ in size; equal seeds move them together.
            *(
                RandAffined(
                    (name,), None, 1.0, (turn,) * 3, scale_range=(size,) * 3, padding_mode="zeros"
                ).set_random_state(0)
                for name in BOTH
            ),
            RandScaleIntensityd(("image",), factors=settings.intensity_scale, prob=1.0, channel_wise=True),
            RandShiftIntensityd(("image",), offsets=settings.intensity_shift, prob=1.0, channel_wise=True),
        ]
    )
