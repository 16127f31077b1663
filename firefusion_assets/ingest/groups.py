"""Groups: scenes that may show the same ground or event, so that no split may cut between them."""

import numpy as np
import pandas as pd
from scipy.sparse import lil_matrix
from scipy.sparse.csgraph import connected_components


def group_patches(table: pd.DataFrame) -> pd.Series:
    """Return each patch's group: the one its source gave, else that of its scene.

    Scenes share a group if they are of one path and row, if their footprints overlap, or, where one of the two
    is not georeferenced, if they are of adjacent rows or paths; and if a chain of such pairs joins them.

    Args:
        table: patches with columns scene, group, path, row, west, south, east, north (degrees; missing where
            not georeferenced).

    Returns:
        Group names, indexed as the table: the first scene of the group, or the given name.
    """
    if table["group"].notna().all():
        return table["group"].astype(str)
    table = table.assign(width=(table["east"] - table["west"]).mask(table["east"] < table["west"], lambda w: w + 360))
    scenes = table.groupby("scene", sort=True).apply(_footprint, include_groups=False)
    path, row, west, width, south, north = (scenes[name].to_numpy(float) for name in scenes)
    joined = lil_matrix((len(scenes), len(scenes)), dtype=bool)
    for i in range(len(scenes)):
        paths, rows = np.abs(path - path[i]), np.abs(row - row[i])
        # Comparisons with a missing bound are False: those pairs are left to paths and rows.
        overlap = ((west - west[i]) % 360 < width[i]) | ((west[i] - west) % 360 < width)
        overlap &= (south < north[i]) & (south[i] < north)
        placeless = np.isnan(west) | np.isnan(west[i])
        joined[i] = (paths + rows == 0) | overlap | (placeless & (paths <= 1) & (rows <= 1))
    _, component = connected_components(joined, directed=False)
    first = pd.Series(scenes.index, index=scenes.index).groupby(component).transform("first")
    return table["scene"].map(first)


def _footprint(patches: pd.DataFrame) -> pd.Series:
    """Return a scene's path, row and bounds; longitudes go round the Earth, so its first patch is where they start."""
    placed = patches.dropna(subset="west")
    west = placed["west"].iloc[0] if len(placed) else np.nan
    ahead = (placed["west"] - west + 180) % 360 - 180
    return pd.Series(
        {
            "path": patches["path"].iloc[0],
            "row": patches["row"].iloc[0],
            "west": west + ahead.min(),
            "width": (ahead + placed["width"]).max() - ahead.min(),
            "south": placed["south"].min(),
            "north": placed["north"].max(),
        }
    )
