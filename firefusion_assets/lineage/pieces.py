"""Pieces of an asset's object: parts of it that are made apart from each other, each an object of its own.

One step makes all pieces of an object, or several make a share each; then the object is put together from them. So
neither its bytes nor its fingerprint can depend on who made which, and what is finished is found by whoever comes next.
"""

import shutil
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

from firefusion_assets.artifacts.artifact import Artifact, ObjectId
from firefusion_assets.artifacts.making import count_cost
from firefusion_assets.artifacts.store import MANIFEST, ArtifactStore, link
from firefusion_assets.core.errors import UserError
from firefusion_assets.core.workers import Progress, WorkerError, Workers
from firefusion_assets.lineage.assets import ASSETS, AssetName
from firefusion_assets.lineage.fingerprints import Lineage

Make = Callable[[Path, Progress], Mapping[str, Any]]
"""Fills a work folder, laid out as the asset's object is, and returns facts."""


class PieceError(UserError, RuntimeError):
    """A piece that failed in a process of its own; the message names it and holds its traceback."""


@dataclass(frozen=True)
class Piece:
    """One piece.

    Attributes:
        name: fold and replicate, as messages name it.
        id: the piece as an object of the store.
        uses: what the asset's object is made from.
        store: where the piece is.
        make: makes it.
    """

    name: str
    id: ObjectId
    uses: Sequence[ObjectId]
    store: ArtifactStore
    make: Make

    def find(self, progress: Progress) -> Artifact | None:
        """Return the piece if it is finished."""
        return self.store.find(*self.id, whole=True, tell=progress)

    def build(self, progress: Progress) -> Artifact:
        """Return the piece, made unless it is finished."""
        try:
            return self.store.build(*self.id, lambda work: self.make(work, progress), progress, self.uses)
        except BaseException as error:
            error.add_note(f"while making {self.name}")
            raise


@dataclass(frozen=True)
class Pieces:
    """The pieces of one object, or a share of them.

    Attributes:
        pieces: in the order of folds and replicates.
        before: called before the first piece is made, where one has to be made; raises if one can't be.
        processes: tells how many are made at once, each in a process and on a device of its own; 1 is this process.
    """

    pieces: Sequence[Piece]
    before: Callable[[Progress], None] = lambda progress: None
    processes: Callable[[], int] = lambda: 1

    def share(self, number: int, shares: int) -> Self:
        """Return a share, from 0, of about equal ones; neighbours stay together, since folds have much in common."""
        first, end = (len(self.pieces) * place // shares for place in (number, number + 1))
        return replace(self, pieces=self.pieces[first:end])

    def unfinished(self, shares: int) -> list[int]:
        """Return the numbers of the shares in which a piece is missing, by a look at manifests."""
        return [
            number
            for number in range(shares)
            if any(piece.store.find(*piece.id) is None for piece in self.share(number, shares).pieces)
        ]

    def build(self, progress: Progress) -> list[Artifact]:
        """Return the pieces, made unless they are finished; what those cost that are found is counted too.

        Raises:
            PieceError: if one failed in a process of its own. The others are stopped, and go on next time.
            Exception: what making it raises, with a note that names it, if that was done in this process.
        """
        found = {piece.id: piece.find(progress) for piece in self.pieces}
        for artifact in filter(None, found.values()):
            count_cost(artifact)
        waiting = [piece for piece in self.pieces if found[piece.id] is None]
        if waiting:
            self.before(progress)
        if (processes := min(len(waiting), self.processes())) > 1:
            _build_in_processes(waiting, processes, progress)
        return [found[piece.id] or piece.build(progress) for piece in self.pieces]


def pieces_of(lineage: Lineage, asset: AssetName, key: str, makes: Mapping[str, Make]) -> list[Piece]:
    """Return the pieces of an asset's object of today.

    Args:
        lineage: of the study.
        asset: the asset.
        key: of the config.
        makes: what makes each, by its folder in the asset's object, such as `fold-0/replicate-1`.
    """
    whole, uses = lineage.fingerprint(asset, key), lineage.upstream(asset, key)
    return [
        Piece(
            folder.replace("-", " ").replace("/", " "),
            (ASSETS[asset].pieces, f"{whole}-{folder.replace('/', '-')}"),
            uses,
            lineage.store,
            make,
        )
        for folder, make in makes.items()
    ]


def found_pieces(store: ArtifactStore, asset: str, fingerprint: str) -> Iterator[ObjectId]:
    """Yield the pieces of an object that are there, finished or begun."""
    name = ASSETS[cast(AssetName, asset)].pieces
    for pattern in (f"{fingerprint}-*", f".work/{fingerprint}-*") if name else ():
        yield from ((name, folder.name) for folder in (store.root / name).glob(pattern))


def put_together(pieces: Iterable[Artifact], work: Path) -> None:
    """Give all files of some pieces a second name in a work folder, and nothing that an earlier attempt left there."""
    for left in work.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    for piece in pieces:
        for file in piece.path.rglob("*"):
            if file.is_file() and file != piece.path / MANIFEST:
                link(file, work / file.relative_to(piece.path))


def _build_in_processes(pieces: Sequence[Piece], processes: int, progress: Progress) -> None:
    try:
        with Workers(processes, _builder, _name, progress) as builders:
            for _ in builders.as_done(pieces):
                pass
    except WorkerError as error:
        raise PieceError(str(error)) from None


def _name(piece: Piece) -> str:
    return f"making {piece.name} of {piece.id[0]}"


def _builder(slot: int) -> Callable[[Piece, Progress], None]:
    """Give a process a device of its own and return how it makes a piece."""
    from firefusion_assets.core.devices import take_device

    take_device(slot)
    return _build


def _build(piece: Piece, progress: Progress) -> None:
    try:
        piece.build(progress)
    except BaseException:
        raise PieceError(f"{_name(piece)} failed:\n{traceback.format_exc()}") from None
