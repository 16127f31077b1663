"""What Dagster shows of the patches that no fire may be painted on."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from firefusion_assets.orchestration.step import table

if TYPE_CHECKING:
    import pandas as pd

_SHOWN: Final = 50


def rejection_metadata(judged: "pd.DataFrame") -> Mapping[str, Any]:
    """Return how many patches are backgrounds, how many are not for which reason, and the first of these.

    Args:
        judged: of `inpainting.backgrounds.judge`.
    """
    from firefusion_assets.inpainting.backgrounds import count_reasons, summary

    rejected = judged[judged["reason"] != ""].reset_index()
    shown: dict[str, Any] = {"usable_backgrounds": summary(judged)}
    if len(rejected):
        counts = [{"reason": reason, "patches": n} for reason, n in count_reasons(judged).items()]
        shown["rejection_reasons"] = table(counts)
        # The UI cuts wide tables on the right, so a patch's name is not to repeat its scene's.
        shown["rejected_backgrounds"] = table(
            [
                {"patch": row.patch_id.removeprefix(f"{row.scene}_"), "reason": row.reason, "scene": row.scene}
                for row in rejected[:_SHOWN].itertuples()
            ]
        )
        if len(rejected) > _SHOWN:
            shown["rejected_backgrounds_not_shown"] = len(rejected) - _SHOWN
    return shown
