"""Files of the Hugging Face hub, asked for with patience for seconds and not for minutes."""

import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Final

from firefusion_assets.core.errors import UserError

_LIMIT_S: Final = 10.0
"""How long the hub may take to answer."""


class HubError(UserError, RuntimeError):
    """A file that can't be had; the message says of which repository, why, and what to do."""


_ANSWERS: Final[dict[tuple[str, str, str], Path | HubError]] = {}


def hub_file(repository: str, name: str, revision: str, progress: Callable[[str], None]) -> Path:
    """Return a small file of a repository: from the hub, or from the cache when offline or without an answer.

    Each file is asked for once a process, which stays offline if there was no answer.

    Raises:
        HubError: if it can't be had.
    """
    key = repository, name, revision
    if key not in _ANSWERS:
        _ANSWERS[key] = _ask(repository, name, revision, progress)
    answer = _ANSWERS[key]
    if isinstance(answer, HubError):
        raise answer
    return answer


def _ask(repository: str, name: str, revision: str, progress: Callable[[str], None]) -> Path | HubError:
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    outcome: list[str | OSError | ValueError] = []

    def ask() -> None:
        try:
            outcome.append(hf_hub_download(repository, name, revision=revision))
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
            outcome.append(error)

    shown = f"{repository!r} (revision {revision!r})"
    if not constants.HF_HUB_OFFLINE:
        progress(f"asking {constants.ENDPOINT} for {shown}, at most {_LIMIT_S:.0f} s")
    # A thread, since the hub's own client tries again and again for half a minute.
    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_LIMIT_S)
    found = outcome[0] if outcome else try_to_load_from_cache(repository, name, revision=revision)
    if isinstance(found, str):
        if not outcome:
            # Else loading the model would ask for each of its files, half a minute each; the trainer reads it too.
            progress(f"no answer; going on with what the cache has of {shown}, as with HF_HUB_OFFLINE=1")
            os.environ["HF_HUB_OFFLINE"], constants.HF_HUB_OFFLINE = "1", True
        return Path(found)
    silent = f"{constants.ENDPOINT} didn't answer within {_LIMIT_S:.0f} s"
    reason = str(found).strip().splitlines()[0] if isinstance(found, Exception) else silent
    return HubError(
        f"{shown} can't be had from the hub: {reason.rstrip('.')}; accept its licence and log in (hf auth login) if it "
        "is gated, set HF_HUB_OFFLINE=1 if it lies in the cache"
    )
