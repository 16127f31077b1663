"""Files in a folder and below, as a person sees them."""

from collections.abc import Iterator, Sequence
from pathlib import Path


def files_below(folder: Path) -> list[Path]:
    """Return all files in a folder and below, sorted by path.

    Links are followed, except where one leads back to a folder that it lies in; a link to nothing is returned as a
    file. What systems leave behind is left out, see `is_leftover`.
    """
    return sorted(_walk(folder, frozenset()))


def is_new(folder: Path) -> bool:
    """Whether a folder is missing or empty, so that what is written there mixes with nothing."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def below(folder: Path, name: str) -> Path:
    """Return the path of a name in a folder.

    Raises:
        ValueError: if the name, which somebody else wrote, leads out of it.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name!r} leads out of {folder}")
    return path


def is_leftover(name: str) -> bool:
    """Whether a file or folder of this name was left by an operating system and holds nothing of a person's."""
    return name in ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini") or name.startswith("._")


def printable(name: str) -> str:
    """Return a name, with escapes in place of what is no UTF-8."""
    return name.encode(errors="backslashreplace").decode()


def some_of(names: Sequence[str]) -> str:
    """Name the first of many."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _walk(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:
        return
    for path in folder.iterdir():
        if is_leftover(path.name):
            continue
        if path.is_dir():
            yield from _walk(path, above | {real})
        elif path.is_file() or path.is_symlink():
            yield path
