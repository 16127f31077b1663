"""What a model folder holds besides weights: how DN become the model's range and come back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from firefusion_assets.engines.companions import Companions, fit_companions
from firefusion_assets.engines.stable_diffusion.saturation import fit_saturation
from firefusion_assets.engines.stable_diffusion.settings import StableDiffusionGenerator
from firefusion_assets.engines.stable_diffusion.stretch import Stretch, fit_stretch
from firefusion_assets.patchstore import PatchPart

LORA_FILE: Final = "pytorch_lora_weights.safetensors"
"""Adapters, where they are published without the base model; the name that diffusers looks for."""
_PIXELS_FILE: Final = "pixels.json"


class Pixels(BaseModel):
    """Constants fitted on the train part.

    Attributes:
        bands: of the store, in its order.
        stretch: of the composite's bands.
        companions: predicts the other bands; none where they stay as the background has them.
        saturation: for each band of the composite the value of the model's range from which paint is saturated; none
            where no fire of the train part is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bands: tuple[str, ...]
    stretch: Stretch
    companions: Companions | None
    saturation: tuple[float | None, ...]

    @classmethod
    def fit(cls, generator: StableDiffusionGenerator, train: PatchPart) -> Self:
        """Fit the constants.

        Raises:
            NoFireError: if the train part holds no fire.
        """
        composite: Sequence[str] = generator.composite
        stretch = fit_stretch(generator.stretch, train, composite, generator.seed)
        return cls(
            bands=tuple(train.meta.bands),
            stretch=stretch,
            companions=fit_companions(train, composite) if generator.companion_bands == "regressed" else None,
            saturation=fit_saturation(generator, train, stretch),
        )

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what `write` wrote."""
        return cls.model_validate_json((folder / _PIXELS_FILE).read_text())

    def to_dn(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return float32 DN (N, 3, H, W), not rounded, of values of the model's range: `dn_max` where they saturate."""
        dn_max = self.stretch.dn_max
        least = np.array([np.inf if value is None else value for value in self.saturation]).reshape(-1, 1, 1)
        dn: npt.NDArray[np.float32] = np.minimum(self.stretch.to_dn(values), np.float32(dn_max - 1))
        dn[values >= least] = dn_max
        return dn

    def write(self, folder: Path) -> None:
        """Write the constants into a model folder."""
        (folder / _PIXELS_FILE).write_text(self.model_dump_json(indent=2) + "\n")
