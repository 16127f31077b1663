"""DN on the scale that rules and textures compare them on: ratios become differences."""

import numpy as np
import numpy.typing as npt


def log_dn(dn: npt.NDArray[np.uint16]) -> npt.NDArray[np.float64]:
    """Return the natural logarithm of DN; fill (DN 0) counts as 1."""
    logs: npt.NDArray[np.float64] = np.log(np.maximum(dn.astype(np.float64), 1))
    return logs
