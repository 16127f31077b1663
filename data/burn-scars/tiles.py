"""Cut image and mask GeoTIFFs into tiles of 48 px, the study's patches: python data/burn-scars/tiles.py FOLDER.

FOLDER holds `images/NAME.tif` and `masks/NAME.tif`, one fire each; tiles go into `input/` beside this file, as
`NAME--ROW-COLUMN.tif`. What is left at the sides is shared evenly and dropped.
"""

import sys
from itertools import product
from pathlib import Path

import rasterio
from rasterio.windows import Window

SIDE = 48


def cut(path: Path, into: Path) -> int:
    """Write the tiles of one GeoTIFF, in its own format and georeference; return how many there are."""
    into.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path) as source:
        rows, columns = source.height // SIDE, source.width // SIDE
        top, left = (source.height - rows * SIDE) // 2, (source.width - columns * SIDE) // 2
        for row, column in product(range(rows), range(columns)):
            window = Window(left + column * SIDE, top + row * SIDE, SIDE, SIDE)
            profile = source.profile | {"height": SIDE, "width": SIDE, "transform": source.window_transform(window)}
            profile |= {"blockysize": SIDE, "tiled": False}
            with rasterio.open(into / f"{path.stem}--{row}-{column}.tif", "w", **profile) as tile:
                tile.write(source.read(window=window))
        return rows * columns


if __name__ == "__main__":
    folder, study = Path(sys.argv[1]), Path(__file__).parent
    for kind in ("images", "masks"):
        tiles = sum(cut(path, study / "input" / kind) for path in sorted((folder / kind).glob("*.tif")))
        print(f"{tiles} tiles in {study / 'input' / kind}")
