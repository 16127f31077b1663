"""What covers the ground in the simulated scenes: spectra, and which of them make a landscape.

Numbers only; other modules make pixels of them. The spectra are rounded from common spectral libraries
and from clear Landsat pixels of such covers: surface reflectance of B1 to B7, and surface temperature against
the scene's in K.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

COVERS: Final = {
    "rainforest": ((0.012, 0.015, 0.033, 0.020, 0.280, 0.120, 0.045), -6.0),
    "conifers": ((0.014, 0.017, 0.030, 0.024, 0.210, 0.105, 0.050), -5.0),
    "woodland": ((0.014, 0.019, 0.034, 0.036, 0.200, 0.155, 0.080), -2.0),
    "shrubland": ((0.024, 0.030, 0.050, 0.062, 0.190, 0.200, 0.125), 1.0),
    "dry grass": ((0.030, 0.038, 0.065, 0.090, 0.225, 0.265, 0.175), 2.0),
    "green crop": ((0.022, 0.028, 0.060, 0.036, 0.390, 0.180, 0.085), -5.0),
    "pasture": ((0.024, 0.030, 0.056, 0.055, 0.290, 0.230, 0.125), -1.0),
    "stubble": ((0.042, 0.054, 0.085, 0.116, 0.260, 0.320, 0.240), 4.0),
    "bare soil": ((0.048, 0.062, 0.095, 0.140, 0.255, 0.330, 0.290), 7.0),
    "hot soil": ((0.075, 0.095, 0.150, 0.215, 0.350, 0.420, 0.430), 15.0),
    "rock": ((0.080, 0.095, 0.125, 0.150, 0.190, 0.230, 0.210), 5.0),
    "town": ((0.085, 0.095, 0.115, 0.130, 0.190, 0.200, 0.170), 4.0),
    "flooded": ((0.030, 0.036, 0.050, 0.042, 0.110, 0.050, 0.022), -6.0),
    "water": ((0.022, 0.025, 0.030, 0.018, 0.008, 0.003, 0.002), -10.0),
    "char": ((0.022, 0.025, 0.030, 0.034, 0.060, 0.100, 0.100), 9.0),
    "pale roof": ((0.300, 0.330, 0.360, 0.380, 0.420, 0.420, 0.390), 3.0),
    "coated roof": ((0.150, 0.160, 0.180, 0.200, 0.230, 0.260, 0.520), 12.0),
}
"""`char` is of fresh scars; `coated roof`, brightest in B7 as some paints are, is bait for detectors."""


def spectrum(cover: str) -> npt.NDArray[np.float64]:
    """Return the surface reflectance of B1 to B7 of a cover, (7,)."""
    return np.array(COVERS[cover][0])


@dataclass(frozen=True)
class Biome:
    """A landscape.

    Attributes:
        natural: wild covers with their shares, in the order in which they border on each other.
        crops: covers of parcels with their shares; shares of both add up to 1.
        fields: share of the ground that is parcelled out.
        parcel: edge of a block of parcels in px.
        relief: strength of shading by slopes, 0 is flat.
        water: share of lakes; rivers come with it.
        towns: share of the ground near settlements.
        cloud: share of cloud.
        haze: mean aerosol reflectance in the green.
        temperature: mean surface temperature in K.
    """

    natural: tuple[tuple[str, float], ...]
    crops: tuple[tuple[str, float], ...]
    fields: float
    parcel: float
    relief: float
    water: float
    towns: float
    cloud: float
    haze: float
    temperature: float


SAVANNA = Biome(
    natural=(("woodland", 0.45), ("shrubland", 0.25), ("dry grass", 0.25), ("bare soil", 0.05)),
    crops=(("dry grass", 0.5), ("bare soil", 0.3), ("green crop", 0.2)),
    fields=0.06, parcel=22, relief=0.15, water=0.01, towns=0.03, cloud=0.02, haze=0.007, temperature=305,
)  # fmt: skip
AMAZON_FRONTIER = Biome(
    natural=(("rainforest", 0.9), ("woodland", 0.1)),
    crops=(("rainforest", 0.25), ("pasture", 0.45), ("bare soil", 0.12), ("stubble", 0.18)),
    fields=0.5, parcel=44, relief=0.08, water=0.02, towns=0.02, cloud=0.06, haze=0.015, temperature=304,
)  # fmt: skip
WESTERN_CONIFERS = Biome(
    natural=(("conifers", 0.6), ("shrubland", 0.2), ("dry grass", 0.12), ("rock", 0.08)),
    crops=(("pasture", 0.5), ("dry grass", 0.5)),
    fields=0.05, parcel=20, relief=0.55, water=0.01, towns=0.03, cloud=0.03, haze=0.006, temperature=303,
)  # fmt: skip
BOREAL = Biome(
    natural=(("flooded", 0.05), ("conifers", 0.6), ("woodland", 0.25), ("shrubland", 0.1)),
    crops=(("pasture", 1.0),),
    fields=0.0, parcel=20, relief=0.2, water=0.06, towns=0.005, cloud=0.10, haze=0.011, temperature=297,
)  # fmt: skip
MEDITERRANEAN = Biome(
    natural=(("woodland", 0.4), ("shrubland", 0.4), ("rock", 0.2)),
    crops=(("stubble", 0.35), ("woodland", 0.25), ("green crop", 0.15), ("bare soil", 0.25)),
    fields=0.45, parcel=14, relief=0.4, water=0.015, towns=0.06, cloud=0.02, haze=0.008, temperature=308,
)  # fmt: skip
PADDIES = Biome(
    natural=(("rainforest", 0.4), ("woodland", 0.6)),
    crops=(("stubble", 0.4), ("green crop", 0.25), ("bare soil", 0.2), ("flooded", 0.15)),
    fields=0.65, parcel=9, relief=0.2, water=0.02, towns=0.06, cloud=0.06, haze=0.021, temperature=306,
)  # fmt: skip
EUCALYPT = Biome(
    natural=(("conifers", 0.25), ("woodland", 0.55), ("dry grass", 0.2)),
    crops=(("dry grass", 0.6), ("pasture", 0.3), ("bare soil", 0.1)),
    fields=0.25, parcel=26, relief=0.4, water=0.015, towns=0.03, cloud=0.05, haze=0.012, temperature=306,
)  # fmt: skip
PRAIRIE = Biome(
    natural=(("dry grass", 0.6), ("pasture", 0.3), ("woodland", 0.1)),
    crops=(("green crop", 0.3), ("stubble", 0.25), ("bare soil", 0.25), ("pasture", 0.2)),
    fields=0.6, parcel=27, relief=0.12, water=0.01, towns=0.04, cloud=0.05, haze=0.007, temperature=301,
)  # fmt: skip
STEPPE = Biome(
    natural=(("dry grass", 0.45), ("shrubland", 0.3), ("bare soil", 0.2), ("hot soil", 0.05)),
    crops=(("stubble", 0.6), ("bare soil", 0.4)),
    fields=0.35, parcel=50, relief=0.12, water=0.015, towns=0.02, cloud=0.03, haze=0.006, temperature=307,
)  # fmt: skip
DRY_TROPICS = Biome(
    natural=(("rainforest", 0.3), ("woodland", 0.5), ("shrubland", 0.2)),
    crops=(("bare soil", 0.3), ("stubble", 0.3), ("pasture", 0.25), ("woodland", 0.15)),
    fields=0.35, parcel=34, relief=0.15, water=0.015, towns=0.03, cloud=0.05, haze=0.013, temperature=306,
)  # fmt: skip
