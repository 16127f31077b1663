"""The code location of the study that the environment names.

`FIREFUSION_STUDY` names the study folder, `FIREFUSION_ARTIFACTS` where its objects are, `FIREFUSION_EXECUTOR` what runs
the steps. For several studies in one UI see `studies`.
"""

from firefusion_assets.lineage.opening import open_lineage
from firefusion_assets.orchestration.code_location import build_defs

defs = build_defs(open_lineage())
