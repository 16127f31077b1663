"""Several studies in one UI: each attribute is the code location of the study in the folder of that name.

`workspace.yaml` names them (`attribute: demo`). Studies are looked for in FIREFUSION_STUDIES, by default `data`.
"""

from firefusion_assets.lineage.opening import open_lineage, studies_folder
from firefusion_assets.orchestration.code_location import build_defs


def __getattr__(name: str) -> object:
    """Return the definitions of a study by the name of its folder."""
    folder = studies_folder() / name
    if not (folder / "study.yaml").is_file():
        raise AttributeError(f"{folder}: holds no study.yaml; set FIREFUSION_STUDIES, or correct workspace.yaml")
    return build_defs(open_lineage(folder))
