"""What `firefusion doctor` looks at: versions, devices, disk, Dagster's instance, slots and locks; changes nothing."""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import dagster as dg

from firefusion_assets.artifacts.damage import DAMAGED
from firefusion_assets.artifacts.store import ArtifactStore
from firefusion_assets.core.gpu_leases import gpu_lock, local_gpus
from firefusion_assets.core.locks import is_held
from firefusion_assets.core.processes import usable_cores
from firefusion_assets.lineage.fingerprints import Lineage
from firefusion_assets.orchestration.instance import open_instance
from firefusion_assets.orchestration.step_options import GPU_POOL

_PACKAGES: Final = ("firefusion-assets", "dagster", "torch", "diffusers", "rasterio")
_LITTLE_DISK: Final = 10 * 2**30
"""Bytes below which a fine-tuning or a data set may not fit."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: what it is.
        found: how it is.
        mend: what to do about it, where something is to be done.
    """

    what: str
    found: str
    mend: str = ""


def examine(lineage: Lineage, home: Path) -> Iterator[Finding]:
    """Yield what is found of this installation, this machine, the instance in DAGSTER_HOME and a study's store.

    Args:
        lineage: of the study.
        home: DAGSTER_HOME.
    """
    yield from _installation()
    yield from _disk(lineage.store.root, home)
    with open_instance() as instance:
        yield from _pool(instance)
    yield from _leases()
    yield from _store(lineage.store)


def _installation() -> Iterator[Finding]:
    yield Finding("Python", platform.python_version())
    for package in _PACKAGES:
        try:
            yield Finding(package, version(package))
        except PackageNotFoundError:
            yield Finding(package, "not installed", f"pip install {package}")
    import torch

    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    lacking = "install a torch that is built for this driver" if local_gpus() and not names else ""
    if torch.backends.mps.is_available():
        names.append("Apple GPU")
    yield Finding("devices", f"{usable_cores()} CPU cores; {', '.join(names) or 'no GPU'}", lacking)


def _disk(store: Path, home: Path) -> Iterator[Finding]:
    for what, folder in (("disk of the objects", store), ("DAGSTER_HOME", home)):
        there = next(one for one in (folder, *folder.parents) if one.exists())
        free = shutil.disk_usage(there).free
        mend = "free space: firefusion prune removes what no config uses" if free < _LITTLE_DISK else ""
        if not os.access(there, os.W_OK):
            mend = "nothing can be written there; name another folder, or change its owner"
        yield Finding(what, f"{folder}, {free / 2**30:.1f} GiB free", mend)
    if not (home / "dagster.yaml").is_file():
        yield Finding("dagster.yaml", "missing: pool gpu has no limit", f"cp dagster.yaml {home}")


def _pool(instance: dg.DagsterInstance) -> Iterator[Finding]:
    events, gpus = instance.event_log_storage, max(1, len(local_gpus()))
    if not events.supports_global_concurrency_limits:
        yield Finding(f"pool {GPU_POOL}", "this instance limits no pools", "use the storage of dagster.yaml")
        return
    info = events.get_concurrency_info(GPU_POOL)
    right = info.limit is not None and info.limit <= gpus
    mend = "" if right else f"dagster instance concurrency set {GPU_POOL} {gpus}"
    yield Finding(f"pool {GPU_POOL}", f"limit {info.limit}, {len(info.claimed_slots)} slots held", mend)
    for slot in info.claimed_slots:
        run = instance.get_run_by_id(slot.run_id)
        gone = run is None or run.is_finished
        state = "is gone" if run is None else f"is {run.status.value}"
        yield Finding(
            "held slot",
            f"{slot.step_key} of run {slot.run_id}, which {state}",
            "the next firefusion run frees it, or the UI: Deployment > Concurrency > free" if gone else "",
        )


def _leases() -> Iterator[Finding]:
    for gpu in local_gpus():
        yield Finding(f"GPU {gpu}", "leased by a step" if is_held(gpu_lock(gpu)) else "free")


def _store(store: ArtifactStore) -> Iterator[Finding]:
    root = store.root
    being_made = store.being_made()
    for asset, fingerprint in sorted(being_made):
        yield Finding("object", f"{asset}/{fingerprint} is being made")
    for work in sorted(root.glob("[!.]*/.work/*")):
        if (work.parents[1].name, work.name) not in being_made:
            found = f"{work.parents[1].name}/{work.name} was begun and not finished"
            yield Finding("object", found, "firefusion run goes on from it; prune removes it if no config wants it")
    damaged = [*(root / DAMAGED).glob("*")]
    if damaged:
        yield Finding(
            "damaged", f"{len(damaged)} objects in {root / DAMAGED}", "look at them, check the disk, remove them"
        )
