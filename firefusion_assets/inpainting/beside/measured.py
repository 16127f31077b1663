"""What the train part shows of smoke and scars beside its fires: measured once a fold, kept as JSON with its plans."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from firefusion_assets.core.fires import LARGE
from firefusion_assets.core.seeding import generator
from firefusion_assets.inpainting.beside.evidence import chance, level_shown
from firefusion_assets.inpainting.beside.plumes import Plume, measure_plume
from firefusion_assets.inpainting.beside.scars import Land, land_of, measure_scar
from firefusion_assets.inpainting.beside.smoke import VISIBLE, Haze, haze_of
from firefusion_assets.inpainting.beside.veil import Veil, fit_veil

if TYPE_CHECKING:
    from firefusion_assets.patchstore import Patch, PatchPart

_FIRES: Final = 24
"""Burning patches that are looked at, at most."""
_GROUNDS: Final = 48
"""Patches without fire that they are held to."""
_PIXELS: Final = 1000
"""Veiled pixels that a veil is fitted to, at most."""

Mask = npt.NDArray[np.bool_]
What = Literal["smoke", "scar"]


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Found(_Kept):
    """How many fires have something beside them.

    Attributes:
        small: share of the fires below 20 px.
        large: share of the others.
        level: chance up to which a fire counts as having it.
        words: what was found.
    """

    small: float
    large: float
    level: float
    words: str

    def share(self, pixels: int) -> float:
        """Return the share of fires of a size."""
        return self.large if pixels >= LARGE else self.small


class Smoke(_Kept):
    """What smoke is like: the veil, and real plumes."""

    found: Found
    veil: Veil
    plumes: tuple[Plume, ...]


class Scarred(_Kept):
    """What scars are like: DN of char by band, and of each real scar what it hides, how unevenly, how deep it is."""

    found: Found
    char: Mapping[str, float]
    hidden: tuple[float, ...]
    uneven: float
    depths: tuple[float, ...]


class Beside(_Kept):
    """What the train part shows beside its fires; None where it isn't asked for, or not more than chance explains.

    Attributes:
        smoke: see `Smoke`.
        scar: see `Scarred`.
        words: what was found of each.
    """

    smoke: Smoke | None
    scar: Scarred | None
    words: tuple[str, ...]


class _Fire(NamedTuple):
    patch: "Patch"
    label: Mask
    haze: Haze
    land: Land


def measure(train: "PatchPart", asked: Sequence[What]) -> Beside:
    """Measure smoke and scars beside the fires of a train part.

    Args:
        train: the fold's train part, with B2, B4, B5, B6 and B7 of Landsat.
        asked: what is to be measured.
    """
    draws, burning = generator("beside"), train.statistics.fire
    fires = [fire for name in _some(burning, _FIRES, draws) if (fire := _fire(train, name)) is not None]
    free = [name for name in sorted(train.ids) if name not in set(burning)]
    grounds = [
        ground
        for name in _some(free, _GROUNDS, draws)
        if (ground := _seen(train, train.read(name), np.zeros((train.meta.patch_size,) * 2, bool))) is not None
    ]
    words: list[str] = []
    smoke = _smoke(train, fires, [haze for haze, _ in grounds], words) if "smoke" in asked else None
    scar = _scarred(train, fires, [land for _, land in grounds], words) if "scar" in asked else None
    return Beside(smoke=smoke, scar=scar, words=tuple(words))


def _some(names: Sequence[str], n: int, draws: np.random.Generator) -> list[str]:
    return [names[place] for place in sorted(draws.permutation(len(names))[:n])]


def _seen(train: "PatchPart", patch: "Patch", label: Mask) -> tuple[Haze, Land] | None:
    bands = dict(zip(train.meta.bands, patch.bands, strict=True))
    haze = haze_of(bands, ~patch.ignore, label)
    return None if haze is None else (haze, land_of(bands, ~patch.ignore))


def _fire(train: "PatchPart", name: str) -> _Fire | None:
    patch = train.read(name)
    label = patch.label & ~patch.ignore
    seen = _seen(train, patch, label)
    return None if seen is None else _Fire(patch, label, *seen)


def _found(
    what: What,
    fires: Sequence[_Fire],
    shown: Sequence[Haze | Land],
    grounds: Sequence[Haze | Land],
    words: list[str],
) -> tuple[Found, list[_Fire]] | None:
    """Say in words what was found, and beside which fires; None if it isn't more than chance explains.

    Args:
        what: is looked for.
        fires: of the train part.
        shown: what the patch of each shows of it.
        grounds: what patches without fire show of it.
        words: gets a line on what was found.
    """
    by_chance = [ground.amount for ground in grounds]
    chances = [chance(one.amount(fire.label), fire.label, by_chance) for one, fire in zip(shown, fires, strict=True)]
    level = level_shown(chances)
    if level is None:
        words.append(f"no {what} found beside {len(fires)} fires: no more than on ground without fire")
        return None
    has = np.array(chances) <= level
    large = np.array([fire.label.sum() >= LARGE for fire in fires])
    # Of those that have it, some do by chance.
    shares = ((has[one].mean() if one.any() else has.mean()) for one in (~large, large))
    small_share, large_share = (max(0.0, float((share - level) / (1 - level))) for share in shares)
    words.append(f"{what} found beside {has.sum()} of {len(fires)} fires, {level * len(fires):.1f} expected by chance")
    found = Found(small=small_share, large=large_share, level=level, words=words[-1])
    return found, [fire for fire, it_has in zip(fires, has, strict=True) if it_has]


def _smoke(train: "PatchPart", fires: Sequence[_Fire], grounds: Sequence[Haze], words: list[str]) -> Smoke | None:
    evidence = _found("smoke", fires, [fire.haze for fire in fires], grounds, words)
    if evidence is None:
        return None
    found, smoking = evidence
    names = [band for band in VISIBLE if band in train.meta.bands]
    veiled = [fire.haze.beside(fire.label) for fire in smoking]
    excess, ground = (
        np.concatenate([getattr(fire.haze, name)[:, mask] for fire, mask in zip(smoking, veiled, strict=True)], axis=1)
        for name in ("excess", "ground")
    )
    chosen = generator("veil").permutation(excess.shape[1])[:_PIXELS]
    noise = np.median([fire.haze.noise for fire in smoking], axis=0)
    veil = fit_veil(excess[:, chosen], ground[:, chosen], noise, names)
    return Smoke(
        found=found,
        veil=veil,
        plumes=tuple(
            measure_plume(fire.label, fire.haze, mask, veil, names) for fire, mask in zip(smoking, veiled, strict=True)
        ),
    )


def _scarred(train: "PatchPart", fires: Sequence[_Fire], grounds: Sequence[Land], words: list[str]) -> Scarred | None:
    evidence = _found("scar", fires, [fire.land for fire in fires], grounds, words)
    if evidence is None:
        return None
    found, burnt = evidence
    scars = [
        scar
        for fire in burnt
        if (scar := measure_scar(fire.patch.bands, train.meta.bands, fire.land, fire.label, fire.haze.pieces > 0))
        is not None
    ]
    if not scars:
        words.append("but no scar is large enough to be measured")
        return None
    return Scarred(
        found=found,
        char={band: float(np.median([scar.char[band] for scar in scars])) for band in train.meta.bands},
        hidden=tuple(scar.hidden for scar in scars),
        uneven=float(np.median([scar.uneven for scar in scars])),
        depths=tuple(scar.depth for scar in scars),
    )
