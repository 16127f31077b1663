"""Published active fire detectors on Landsat-8 bands, as array operations.

For now Murphy's; each detector names the bands it needs, so that a config can be checked before any work.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from firefusion_assets.landsat.bands import reflectance

DETECTOR_BANDS: Final = {"murphy": ("B5", "B6", "B7")}
"""The bands that each detector needs."""


def murphy(bands: Mapping[str, npt.NDArray[np.uint16]], sun_elevation: float) -> npt.NDArray[np.bool_]:
    """Detect fires by HOTMAP (Murphy et al. 2016, Remote Sensing of Environment 178, 31-41).

    Args:
        bands: uint16 DN (H, W) of at least B5, B6 and B7. DN 65535 in B6 or B7 counts as saturated.
        sun_elevation: degrees above the horizon.

    Returns:
        bool (H, W). Fill (DN 0 in B7) is never fire.
    """
    from scipy.ndimage import binary_dilation

    r5, r6, r7 = (reflectance(bands[name], sun_elevation) for name in ("B5", "B6", "B7"))
    # r7 / r6 >= 1.4 without a division: where r6 is not positive the ratio means nothing and r7 decides.
    unambiguous = (r7 >= 0.15) & (r7 >= 1.4 * r6) & (r7 >= 1.4 * r5)
    saturated = (bands["B6"] == 65535) | (bands["B7"] == 65535)
    neighbours = binary_dilation(unambiguous, np.ones((3, 3), bool))
    potential = neighbours & (((r6 >= 2.0 * r5) & (r6 >= 0.5)) | saturated)
    detected: npt.NDArray[np.bool_] = (unambiguous | potential) & (bands["B7"] > 0)
    return detected
