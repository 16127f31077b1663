"""Memory of simulating, reading and storing patches, against a plain loop that holds them all before it writes."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import lmdb
import rasterio

from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.ingest.base_store import ingest
from firefusion_assets.ingest.sources.listing import list_source
from firefusion_assets.study import Study
from firefusion_assets_tests.builders.memory import watched_rss_anon

_SCENES = 20


def measure() -> Iterator[tuple[str, float, float]]:
    """Yield the peak RssAnon in MiB for 200 and 2,000 patches of 64 px and ten bands, streamed and held."""
    with tempfile.TemporaryDirectory() as folder:
        for n in (200, 2000):
            for step in ("simulate", "ingest", "plain"):
                command = [sys.executable, "-m", __spec__.name, step, str(n), str(Path(folder) / str(n))]
                peak = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
                if step == "simulate":
                    print(f"    simulating {n} patches: peak {peak:.1f} MiB")
                elif step == "ingest":
                    streamed = peak
            yield f"storing {n} patches, peak RssAnon MiB (baseline: held)", streamed, peak


def _study(n: int) -> Study:
    dataset = {"source": "simulated", "scenes": _SCENES, "patches_per_scene": n // _SCENES, "patch_size": 64}
    return Study.model_validate({"name": "bench", "dataset": dataset, "training": {"bands": ["B7"]}})


def _plain(folder: Path) -> None:
    arrays = {}
    for path in folder.rglob("landsat_patches/*.tif"):
        with rasterio.open(path) as file:
            arrays[path.stem] = file.read().astype("float32") / 65535
    (folder / "plain").mkdir(exist_ok=True)
    with lmdb.open(str(folder / "plain"), map_size=2**32) as env, env.begin(write=True) as transaction:
        for name, array in arrays.items():
            transaction.put(name.encode(), array.tobytes())


def _run(step: str, n: int, folder: Path) -> None:
    with watched_rss_anon() as peak:
        study, store = _study(n), ArtifactStore(folder / "artifacts")
        if step == "plain":
            _plain(folder)
        else:
            source = list_source(study, folder, store, lambda line: None)
            if step == "ingest":
                (folder / "out").mkdir()
                ingest(study, source, folder / "out", lambda line: None)
    print(peak.mib)


if __name__ == "__main__":
    _run(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
