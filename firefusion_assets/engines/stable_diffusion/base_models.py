"""The models that a config names: folders on this machine or ids on the hub, and whether they can be used."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from firefusion_assets.core.hub import HubError, hub_file
from firefusion_assets.engines.stable_diffusion.base_model_files import Use, folder_problems, unet_problems
from firefusion_assets.engines.stable_diffusion.controlnet_files import (
    controlnet_folder_problems,
    controlnet_problems,
    misfit,
)
from firefusion_assets.engines.stable_diffusion.model_files import read_json
from firefusion_assets.study.engine import Progress


def local_folder(model: str, study_folder: Path) -> Path | None:
    """Return the folder that a name of a model means, or nothing if it is a hub id.

    A path that starts with ``/``, ``.`` or ``~`` is a folder, there or not; anything else if it exists below the
    study folder.
    """
    folder = study_folder / Path(model).expanduser()
    return folder.resolve() if model.startswith(("/", ".", "~")) or folder.is_dir() else None


def config_problems(settings: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """Say what keeps local models from being used.

    Args:
        settings: of the engine, as the YAML file has them.
        folder: the study folder.
    """
    named = {key: settings.get(key) for key in ("base_model", "controlnet")}
    local = {key: local_folder(name, folder) for key, name in named.items() if isinstance(name, str)}
    use = Use(settings.get("train_text_encoder") is True, named["controlnet"] is not None)
    if (base := local.get("base_model")) is not None:
        yield from (f"generator.base_model: {problem}" for problem in folder_problems(base, use))
    if (controlnet := local.get("controlnet")) is not None:
        yield from (f"generator.controlnet: {problem}" for problem in controlnet_folder_problems(controlnet))


def hub_problems(named: Mapping[str, tuple[str | None, str]], trains_text: bool, progress: Progress) -> Iterator[str]:
    """Say what keeps models of the hub from being used, and that a ControlNet belongs to another model.

    Args:
        named: names, folders or hub ids, and revisions of `base_model` and `controlnet`.
        trains_text: whether the text encoder is trained.
        progress: called with what is asked for.
    """
    use = Use(trains_text, named["controlnet"][0] is not None)
    configs = {}
    for key, file in (("base_model", "unet/config.json"), ("controlnet", "config.json")):
        name, revision = named[key]
        if name is None:
            continue
        is_local = Path(name).is_dir()
        try:
            config = read_json(Path(name, file) if is_local else hub_file(name, file, revision, progress))
        except HubError as error:
            yield f"generator.{key}: {error}, or download it elsewhere and name the local folder"
            continue
        except ValueError as unreadable:
            yield f"generator.{key}: {unreadable}"
            continue
        configs[key] = config
        if not is_local:
            problems = unet_problems(config, name, use) if key == "base_model" else controlnet_problems(config, name)
            yield from (f"generator.{key}: {problem}" for problem in problems)
    if len(configs) == 2:
        yield from (
            f"generator.controlnet: {problem}" for problem in misfit(configs["controlnet"], configs["base_model"])
        )
