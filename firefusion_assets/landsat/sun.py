"""Sun elevation at a Landsat pass, from date and latitude alone.

Geometry of sun and orbit only. Patches carry no time of day, so the
time is that of the sun-synchronous orbit at the latitude. Where a product's MTL is at hand, its
SUN_ELEVATION is better.
"""

from datetime import date
from math import asin, cos, degrees, pi, radians, sin, tan

INCLINATION = 98.2
"""Inclination of Landsat 8's orbit in degrees; the ground track reaches 180 degrees less than it."""

_EQUATOR_CROSSING = 10 + 11 / 60
"""Mean local solar time in hours at which Landsat 8 crosses the equator southwards."""


def sun_elevation(latitude: float, day: date) -> float:
    """Return the sun's elevation in degrees when Landsat 8 passes southwards over a latitude.

    The mean local solar time of the pass is 10:11 h - asin(tan(latitude) / tan(98.2 deg)) / (15 deg/h).
    Declination and equation of time, which leads from mean to apparent solar time, are the Fourier series
    of Spencer (1971), Search 2(5), 172. Elevation is
    asin(sin(latitude) sin(declination) + cos(latitude) cos(declination) cos(hour angle)).

    Args:
        latitude: degrees, north positive, within the ground track (81.8 degrees).
        day: day of the pass; only its place in the year counts.

    Raises:
        ValueError: where the orbit does not reach.
    """
    if abs(latitude) > 180 - INCLINATION:
        raise ValueError(f"latitude {latitude} is beyond Landsat's ground track of {180 - INCLINATION:.1f} degrees")
    year_angle = 2 * pi * (day.timetuple().tm_yday - 1) / 365
    declination = (
        0.006918
        - 0.399912 * cos(year_angle)
        + 0.070257 * sin(year_angle)
        - 0.006758 * cos(2 * year_angle)
        + 0.000907 * sin(2 * year_angle)
        - 0.002697 * cos(3 * year_angle)
        + 0.001480 * sin(3 * year_angle)
    )
    equation_of_time = (
        229.18
        / 60
        * (
            0.000075
            + 0.001868 * cos(year_angle)
            - 0.032077 * sin(year_angle)
            - 0.014615 * cos(2 * year_angle)
            - 0.040849 * sin(2 * year_angle)
        )
    )  # hours
    phi = radians(latitude)
    mean_time = _EQUATOR_CROSSING - degrees(asin(tan(phi) / tan(radians(INCLINATION)))) / 15
    hour_angle = radians(15 * (mean_time + equation_of_time - 12))
    return degrees(asin(sin(phi) * sin(declination) + cos(phi) * cos(declination) * cos(hour_angle)))
