"""The bands of a Landsat-8 level-1 product and the constants that turn their DN into physical quantities.

Facts of the sensor only; nothing is computed from pixels.
"""

from typing import Final

FILE_BANDS: Final = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B9", "B10", "B11")
"""Bands of a patch file of the active fire data set in file order; the panchromatic B8 is left out."""

THERMAL_BANDS: Final = ("B10", "B11")

REFLECTANCE_MULT: Final = 2.0e-5
REFLECTANCE_ADD: Final = -0.1
"""MTL's REFLECTANCE_MULT_BAND_n and REFLECTANCE_ADD_BAND_n of Landsat-8 level-1 products."""

RADIANCE_MULT: Final = 3.3420e-4
RADIANCE_ADD: Final = 0.1
"""MTL's RADIANCE_MULT_BAND_n and RADIANCE_ADD_BAND_n of the thermal bands, in W/(m2 sr um)."""

THERMAL_CONSTANTS: Final = {"B10": (774.8853, 1321.0789), "B11": (480.8883, 1201.1442)}
"""K1 in W/(m2 sr um) and K2 in K of T = K2 / ln(K1 / L + 1)."""

BAND_CENTRES: Final = {
    "B1": 0.443, "B2": 0.482, "B3": 0.561, "B4": 0.655, "B5": 0.865, "B6": 1.609, "B7": 2.201, "B9": 1.373,
    "B10": 10.9, "B11": 12.0,
}  # fmt: skip
"""Centre wavelengths in um."""

SOLAR_IRRADIANCE: Final = {
    "B1": 1895.0, "B2": 2005.0, "B3": 1821.0, "B4": 1549.0, "B5": 952.0, "B6": 248.0, "B7": 85.5, "B9": 375.0,
}  # fmt: skip
"""Solar irradiance at the top of the atmosphere at 1 au, in W/(m2 um)."""

PIXEL_SIZE: Final = 30.0
"""Ground sampling distance in m."""

CONDITION_BANDS: Final = ("B2", "B4", "B5", "B6")
"""Bands that tell cloud, snow and water."""

FALSE_COLOUR: Final = ("B7", "B6", "B2")
"""Bands as red, green and blue in which a fire glows."""
