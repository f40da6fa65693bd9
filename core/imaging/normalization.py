"""Intensities inside the brain, from a scanner's own units to comparable ones."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# Percentiles of the brain's intensities beyond which they are clipped: vessels and hot voxels would widen the scale.
CLIP = (0.5, 99.5)


def normalize(
    values: NDArray[np.float32], brain: NDArray[np.bool_], method: Literal["zscore", "robust"]
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Scale one sequence by its intensities inside the brain.

    Args:
        values: float32 [D, H, W] in the scanner's units, NaN outside of the field of view.
        brain: bool [D, H, W].
        method: `zscore`: clip at 0.5 and 99.5 %, then mean 0 and standard deviation 1; `robust`: the same clip, then
            median 0 and interquartile range 1, which a large bright tumor hardly moves.
    Returns: float32 [D, H, W], 0 outside of the brain and of the field of view, all 0 where the brain has one value;
        and the parameters.
    """
    seen = brain & np.isfinite(values)
    inside = values[seen].astype(np.float64)
    if not inside.size or np.ptp(inside) == 0:
        return np.zeros(values.shape, np.float32), {"blank": True}
    low, high = np.percentile(inside, CLIP)
    clipped = np.clip(inside, low, high)
    if method == "zscore":
        center, scale = clipped.mean(), clipped.std()
    else:
        first, center, third = np.percentile(clipped, [25, 50, 75])
        scale = third - first
    if scale == 0:
        return np.zeros(values.shape, np.float32), {"blank": True}
    result = np.zeros(values.shape, np.float32)
    result[seen] = (clipped - center) / scale
    return result, {"low": float(low), "high": float(high), "center": float(center), "scale": float(scale)}
