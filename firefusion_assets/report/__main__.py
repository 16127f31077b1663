"""`python -m firefusion_assets.report`: the last report's table and where the report lies."""

import pandas as pd

from firefusion_assets.artifacts.store import UNPARTITIONED
from firefusion_assets.lineage.opening import open_lineage
from firefusion_assets.report.html import text_table


def main() -> None:
    """Print the comparison of the study that FIREFUSION_STUDY names."""
    lineage = open_lineage()
    report = lineage.store.pointed("augmentation_report", UNPARTITIONED)
    if report is None:
        raise SystemExit(
            f"{lineage.folder} has no report yet; materialize augmentation_report: dagster asset materialize "
            "-m firefusion_assets.definitions --select '*' --partition KEY"
        )
    print(text_table(pd.read_csv(report.path / "comparison.csv")))
    print(f"\nReport: {report.path / 'report.html'}")


if __name__ == "__main__":
    main()
