"""How paint fades into the ground around it."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt


def feather(label: npt.NDArray[np.bool_], edit: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Return opacity (H, W): 1 on the label, falling to 0 at the edge of the edit mask, 0 outside it."""
    outside_label = distance_transform_edt(~label) if label.any() else np.full(label.shape, np.inf)
    inside_edit = distance_transform_edt(np.pad(edit, 1))[1:-1, 1:-1]
    opacity: npt.NDArray[np.float32] = np.where(label, 1, inside_edit / (inside_edit + outside_label)).astype(
        np.float32
    )
    return opacity
