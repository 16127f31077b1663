"""Quality bands: what their bits mean in each generation of products.

Sources: Landsat 8 Data Users Handbook (before collections), Landsat Collection 1 Level 1 Product Definition
(LSDS-1656), Landsat 8-9 Collection 2 Level 1 Data Format Control Book (LSDS-1822).
"""

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from firefusion_assets.landsat.products.naming import Generation

QUALITY_BANDS: Final = {
    Generation.BEFORE_COLLECTIONS: ("BQA",),
    Generation.COLLECTION_1: ("BQA",),
    Generation.COLLECTION_2: ("QA_PIXEL", "QA_RADSAT"),
}
"""The roles of the quality bands: conditions of the pixel, then, where it is apart, saturation."""

FILL: Final = 1
"""The value of a pixel's conditions outside the scene, in every generation."""

_HIGH = 3  # the highest of the four confidences that two bits hold


@dataclass(frozen=True)
class Quality:
    """Conditions of pixels, bool arrays (H, W); None where the generation doesn't tell.

    Clouds, cirrus, shadow and snow are those of high confidence.

    Attributes:
        fill: no data.
        cloud: cloud.
        cirrus: cirrus.
        snow: snow or ice.
        shadow: cloud shadow.
        water: water.
        saturated: B6 or B7 saturated; in Collection 1, which doesn't tell which, any band.
    """

    fill: npt.NDArray[np.bool_]
    cloud: npt.NDArray[np.bool_]
    cirrus: npt.NDArray[np.bool_]
    snow: npt.NDArray[np.bool_]
    shadow: npt.NDArray[np.bool_] | None = None
    water: npt.NDArray[np.bool_] | None = None
    saturated: npt.NDArray[np.bool_] | None = None

    @classmethod
    def decode(
        cls,
        generation: Generation,
        conditions: npt.NDArray[np.uint16],
        saturation: npt.NDArray[np.uint16] | None = None,
    ) -> Self:
        """Read the bits of the quality bands.

        Args:
            generation: of the product.
            conditions: the pixels of BQA or QA_PIXEL.
            saturation: those of QA_RADSAT in Collection 2, if there.
        """

        def bits(first: int, count: int = 1) -> npt.NDArray[Any]:
            return (conditions >> first) & ((1 << count) - 1)

        fill = bits(0) == 1
        if generation is Generation.BEFORE_COLLECTIONS:
            return cls(fill, cloud=bits(14, 2) == _HIGH, cirrus=bits(12, 2) == _HIGH, snow=bits(10, 2) == _HIGH)
        if generation is Generation.COLLECTION_1:
            return cls(
                fill,
                cloud=bits(4) == 1,
                cirrus=bits(11, 2) == _HIGH,
                snow=bits(9, 2) == _HIGH,
                shadow=bits(7, 2) == _HIGH,
                saturated=bits(2, 2) > 0,
            )
        return cls(
            fill,
            cloud=bits(3) == 1,
            cirrus=bits(2) == 1,
            snow=bits(5) == 1,
            shadow=bits(4) == 1,
            water=bits(7) == 1,
            saturated=None if saturation is None else (saturation & 0b110_0000) > 0,
        )
