"""Where a browser finds the files of finished objects; `serving` serves them."""

import os
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from firefusion_assets.artifacts.artifact import Artifact

PORT: Final = 3001


def address() -> str:
    """Return where reports are served: FIREFUSION_REPORTS, by default this machine's `PORT`."""
    return (os.environ.get("FIREFUSION_REPORTS") or f"http://127.0.0.1:{PORT}").rstrip("/")


def page_address(page: str) -> str:
    """Return where a page of the documentation is served."""
    return f"{address()}/docs/{page}"


def address_of(study: str, artifact: "Artifact", file: str) -> str:
    """Return where a file of an object is served."""
    return f"{address()}/{study}/{artifact.asset}/{artifact.fingerprint}/{quote(file)}"
