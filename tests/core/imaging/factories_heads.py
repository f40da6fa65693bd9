"""Small heads: the atlas's brain under a scalp, with a lesion on its left, scanned in any plane and pose."""

from functools import lru_cache

import numpy as np
import SimpleITK as sitk

from core.imaging.atlas import atlas
from core.imaging.volume import SEQUENCES, Volume, volume_of

# Where the lesion is, in the atlas's frame: left, in front and above of the middle (LPS, mm).
LESION = (28.0, -14.0, 26.0)
MIDDLE = (0.0, 18.0, 5.0)
# Columns: the x, y and z axes of the stack in the patient's frame.
PLANES = {
    "axial": np.eye(3),
    "coronal": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float),
    "sagittal": np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], float),
}
# Brightness of the lesion's core, ring and edema in each sequence; the brain's white matter has 1.
LESION_LOOKS = {"T1w": (0.2, 0.6, 0.7), "T1wCE": (0.2, 2.5, 0.7), "T2w": (1.8, 1.0, 1.5), "FLAIR": (0.5, 1.2, 1.9)}


@lru_cache(maxsize=1)
def lesion_labels() -> sitk.Image:
    """BraTS's labels of the lesion on the atlas's grid: 1 within 6 mm, 4 within 11 mm, 2 within 17 mm."""
    template, _ = atlas()
    index = np.indices(template.GetSize()[::-1])[::-1] * 2.0
    points = index + np.array(template.GetOrigin())[:, None, None, None]
    distance = np.sqrt(((points - np.array(LESION)[:, None, None, None]) ** 2).sum(0))
    labels = sitk.GetImageFromArray(np.select([distance < 6, distance < 11, distance < 17], [1, 4, 2], 0).astype("u1"))
    labels.CopyInformation(template)
    return labels


@lru_cache(maxsize=8)
def painted(sequence: str, stripped: bool = False) -> sitk.Image:
    """The atlas's head as a sequence shows it, on a 2 mm grid with room around for the scalp."""
    template, brain = (sitk.ConstantPad(image, [8] * 3, [8] * 3, 0) for image in atlas())
    tissue = sitk.GetArrayFromImage(template).astype(float)
    inside = sitk.GetArrayFromImage(brain) > 0
    looks = {
        "T1w": tissue,
        "T1wCE": 0.9 * tissue + 0.1,
        "T2w": 1.5 - tissue,
        "FLAIR": 0.4 + 0.8 * tissue * (1.3 - tissue),
    }
    image = np.where(inside, looks[sequence] * 400, 0.0)
    labels = sitk.GetArrayFromImage(sitk.ConstantPad(lesion_labels(), [8] * 3, [8] * 3, 0))
    for label, brightness in zip((1, 4, 2), LESION_LOOKS[sequence], strict=True):
        image[(labels == label) & inside] = brightness * 300
    if not stripped:
        skull, scalp = (sitk.GetArrayFromImage(sitk.BinaryDilate(brain, [n] * 3)) > 0 for n in (3, 6))
        image[skull & ~inside] = 30
        image[scalp & ~skull] = 350
        image += np.random.default_rng(SEQUENCES.index(sequence)).uniform(1, 6, image.shape)
    result = sitk.GetImageFromArray(image.astype(np.float32))
    result.CopyInformation(template)
    return result


def a_pose(degrees: tuple[float, float, float], shift: tuple[float, float, float]) -> sitk.Euler3DTransform:
    """A motion about the head's middle, from the scanner's points to the head's."""
    pose = sitk.Euler3DTransform()
    pose.SetCenter(MIDDLE)
    pose.SetRotation(*np.deg2rad(degrees).tolist())
    pose.SetTranslation(shift)
    return pose


def scanned(
    head: sitk.Image,
    pose: sitk.Transform | None = None,
    plane: str = "axial",
    spacing: tuple[float, float, float] = (3.2, 3.2, 4.0),
    interpolator: int = sitk.sitkLinear,
) -> sitk.Image:
    """A head, moved by its pose, on a scanner's grid of 230 mm each way."""
    size = [int(np.ceil(230 / s)) for s in spacing]
    origin = np.array(MIDDLE) - PLANES[plane] @ ((np.array(size) - 1) * np.array(spacing) / 2)
    transform = sitk.Transform() if pose is None else pose
    return sitk.Resample(
        head, size, transform, interpolator, origin.tolist(), spacing, PLANES[plane].ravel().tolist(), 0.0
    )


def a_case(
    pose: sitk.Transform | None = None, plane: str = "axial", stripped: bool = False, moved: bool = False
) -> dict[str, Volume]:
    """Four sequences of one head; `moved` turns each but T1wCE by some degrees and millimeters of its own."""
    motions = {
        "T1w": a_pose((3, -2, 4), (2, -3, 4)),
        "T1wCE": a_pose((0, 0, 0), (0, 0, 0)),
        "T2w": a_pose((-4, 3, 2), (-3, 2, 1)),
        "FLAIR": a_pose((2, 4, -3), (1, 4, -2)),
    }
    case = {}
    for name in SEQUENCES:
        steps = [step for step in (pose, motions[name] if moved else None) if step is not None]
        path = sitk.CompositeTransform(steps) if steps else sitk.Transform()
        case[name] = volume_of(scanned(painted(name, stripped), path, plane))
    return case
