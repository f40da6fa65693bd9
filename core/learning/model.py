"""The shared 3D network: one residual encoder, a coarse tumor map, the presence of a tumor, and MGMT methylation.

GroupNorm throughout and no buffers: nothing is learned outside the parameters, so an average of parameters is an
average of models, and differential privacy can bound what each patient adds (which is why nothing works in place).

Sources: He 2016 (residual blocks), Wu 2018 (group normalization), Huang 2017 (DenseNet), Lin 2017 (feature pyramid;
initial bias).
"""

from math import gcd
from typing import NamedTuple

import torch
from monai.networks.nets.densenet import DenseNet121
from torch import Tensor, nn
from torch.nn import functional

from core.learning.metrics import REGIONS
from core.study import ModelSettings

SEQUENCE_COUNT = 4
# Voxels of the input along one edge of a voxel of the tumor map.
MAP_STRIDE = 4
# Channels at 1/2, 1/4, 1/8 and 1/16 of the grid.
RESIDUAL_CHANNELS = {
    "tiny": (4, 4, 8, 8),
    "small": (8, 16, 32, 64),
    "base": (32, 64, 128, 256),
    "large": (48, 96, 176, 360),
}
# A region smaller than this share of the grid counts as absent when its size is put on a log scale.
SMALLEST_SHARE = 1e-4
# Standard deviations at which a feature of the small head levels off: no scan can be an outlier.
REACH = 3.0
# Logit of about 2 %, how often a voxel is tumor.
EXPECTED_LOGIT = -4.0


class Output(NamedTuple):
    """What the network says of a batch, all as logits.

    Attributes:
        tumor_map: float [B, 3, N/4, N/4, N/4], how much of each voxel is necrosis, edema, enhancing tumor.
        tumor: float [B], whether there is a tumor at all.
        mgmt: float [B], whether the promoter is methylated.
    """

    tumor_map: Tensor
    tumor: Tensor
    mgmt: Tensor


class Features(NamedTuple):
    """An encoder's answer: float [B, C, ...] at 1/4 and at 1/8 of the grid, and at its deepest."""

    quarter: Tensor
    eighth: Tensor
    deepest: Tensor


def norm(channels: int) -> nn.GroupNorm:
    """Return a GroupNorm of up to 8 groups of at least 4 channels, so that even one voxel's group has a spread."""
    return nn.GroupNorm(gcd(8, max(1, channels // 4)), channels)


class Block(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(channels_in, channels, 3, stride, 1, bias=False),
            norm(channels),
            nn.SiLU(),
            nn.Conv3d(channels, channels, 3, 1, 1, bias=False),
            norm(channels),
        )
        same = channels_in == channels and stride == 1
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv3d(channels_in, channels, 1, stride, bias=False), norm(channels))
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return float [B, channels, ...], each edge divided by the stride."""
        return functional.silu(self.body(image) + self.shortcut(image))


class ResidualEncoder(nn.Module):
    """A slim residual network whose first convolution halves the grid, which decides what a step costs."""

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        half, quarter, eighth, deepest = channels
        self.channels = (quarter, eighth, deepest)
        self.stem = nn.Sequential(nn.Conv3d(SEQUENCE_COUNT, half, 3, 2, 1, bias=False), norm(half), nn.SiLU())
        self.first = Block(half, half, 1)
        self.second = Block(half, quarter, 2)
        self.third = Block(quarter, eighth, 2)
        self.fourth = Block(eighth, deepest, 2)

    def forward(self, image: Tensor) -> Features:
        """Look at float [B, 4, N, N, N]."""
        quarter = self.second(self.first(self.stem(image)))
        eighth = self.third(quarter)
        return Features(quarter, eighth, self.fourth(eighth))


class DenseEncoder(nn.Module):
    """MONAI's DenseNet121 with GroupNorm for every BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = (256, 512, 1024)
        self.features = DenseNet121(
            spatial_dims=3, in_channels=SEQUENCE_COUNT, out_channels=1, norm=("group", {"num_groups": 8})
        ).features
        # As deep as the residual encoders, 1/16: a small grid has nothing left to pool.
        self.features.get_submodule("transition3").pool = nn.Identity()
        for module in self.features.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False

    def forward(self, image: Tensor) -> Features:
        """Look at float [B, 4, N, N, N]."""
        at: dict[str, Tensor] = {}
        for name, module in self.features.named_children():
            image = module(image)
            at[name] = image
        return Features(at["denseblock1"], at["denseblock2"], image)


class SmallHead(nn.Module):
    """A linear layer on a few features of a description: what few patients can be trained on under noise.

    Only `linear` is trained; which features they are, and their scales, was found on data that is no hospital's.
    """

    def __init__(self, described: int, features: int) -> None:
        super().__init__()
        self.projection = nn.Linear(described, features)
        self.linear = nn.Linear(features, 1)
        nn.init.zeros_(self.linear.get_parameter("weight"))
        nn.init.zeros_(self.linear.get_parameter("bias"))

    def features(self, description: Tensor) -> Tensor:
        """Return float [B, features], each about as far from zero as the others, and no further than `REACH`."""
        return torch.tanh(self.projection(description) / REACH) * REACH

    def forward(self, description: Tensor) -> Tensor:
        """Return float [B, 1], logits."""
        logits: Tensor = self.linear(self.features(description))
        return logits


class GliomaNet(nn.Module):
    """An encoder with a tumor head and a methylation head.

    The map leads: the presence of a tumor is read off the map's strongest voxels, so that a site without controls still
    learns where tumors are; and methylation is judged from how large each region is and how it looks inside. Features
    of the whole scan are left out on purpose: with tens of patients a site learns them by heart, and their average over
    sites is worth nothing.
    """

    def __init__(self, encoder: ResidualEncoder | DenseEncoder, width: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.lateral = nn.ModuleList(nn.Conv3d(channels, width, 1, bias=False) for channels in encoder.channels)
        self.decoder = nn.Sequential(
            norm(width), nn.SiLU(), nn.Conv3d(width, width, 3, 1, 1, bias=False), norm(width), nn.SiLU()
        )
        self.to_map = nn.Conv3d(width, len(REGIONS), 1)
        self.presence = nn.Linear(1, 1)
        self.described = len(REGIONS) * (1 + SEQUENCE_COUNT + width)
        self.methylation: nn.Sequential | SmallHead = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(self.described, width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, 1)
        )
        # Tumor is rare: a map that starts near its share of the grid need not first unlearn one half.
        nn.init.constant_(self.to_map.get_parameter("bias"), EXPECTED_LOGIT)
        nn.init.ones_(self.presence.get_parameter("weight"))
        nn.init.constant_(self.presence.get_parameter("bias"), -EXPECTED_LOGIT)

    def forward(self, image: Tensor) -> Output:
        """Look at a batch.

        Args:
            image: float [B, 4, N, N, N], prepared cases, N a multiple of 16.
        Returns: logits.
        """
        tumor_map, inside = self.look_inside(image)
        mgmt = self.methylation(describe(tumor_map, inside))
        return Output(tumor_map, self.presence(smooth_maximum(tumor_map)).squeeze(1), mgmt.squeeze(1))

    def look_inside(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tumor map and what its voxels look like: float [B, 3, n, n, n] and [B, C, n, n, n]."""
        features = self.encoder(image)
        size = features.quarter.shape[2:]
        seen = [lateral(level) for lateral, level in zip(self.lateral, features, strict=True)]
        decoded = self.decoder(seen[0] + sum(functional.interpolate(level, size=size) for level in seen[1:]))
        tumor_map = self.to_map(decoded)
        return tumor_map, torch.cat([functional.avg_pool3d(image, MAP_STRIDE), decoded], 1)


def describe(tumor_map: Tensor, features: Tensor) -> Tensor:
    """Describe each region by its size and by the mean of the features inside it.

    Args:
        tumor_map: float [B, R, n, n, n], logits.
        features: float [B, C, n, n, n].
    Returns: float [B, R * (1 + C)], each region's share of the grid on a log scale (0 for none), then the means.
    """
    inside = torch.sigmoid(tumor_map).flatten(2)
    share = inside.mean(2)
    sums = torch.einsum("brv,bcv->brc", inside, features.flatten(2)) / inside.shape[2]
    return description(share, sums)


def description(share: Tensor, sums: Tensor) -> Tensor:
    """Put regions' sizes and features into the words of the methylation head.

    Args:
        share: float [B, R], each region's share of the grid.
        sums: float [B, R, C], the mean over the grid of each feature times how much of a voxel is the region.
    Returns: as `describe`.
    """
    means = sums / (share + SMALLEST_SHARE)[:, :, None]
    return torch.cat([torch.log1p(share / SMALLEST_SHARE), means.flatten(1)], 1)


def smooth_maximum(tumor_map: Tensor) -> Tensor:
    """Return the mean of each map's 16 strongest voxels of any region: float [B, 1], logits."""
    strongest = tumor_map.flatten(1).topk(16, dim=1).values
    return strongest.mean(1, keepdim=True)


def build_model(settings: ModelSettings, seed: int) -> GliomaNet:
    """Build the network with seeded initial weights, leaving the caller's random state as it was.

    Where the settings name frozen weights, all but the small head's linear layer want no gradient; what their values
    are is for `core.learning.frozen` to say.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if settings.preset == "densenet121":
            model = GliomaNet(DenseEncoder(), 64, settings.dropout)
        else:
            channels = RESIDUAL_CHANNELS[settings.preset]
            model = GliomaNet(ResidualEncoder(channels), channels[2], settings.dropout)
        if settings.frozen:
            model.requires_grad_(requires_grad=False)
            head = SmallHead(model.described, settings.features)
            head.projection.requires_grad_(requires_grad=False)
            model.methylation = head
        return model
