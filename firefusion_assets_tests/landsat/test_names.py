"""Patch names round-trip, whatever their label, and wrong ones are refused with a reason."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firefusion_assets.landsat.names import PatchName, PatchNameError

DATES = st.dates(date(2013, 3, 1), date(2035, 1, 1))
LABELS = st.one_of(
    st.none(),
    st.sampled_from(["v1", "v2", "Schroeder", "Murphy", "Kumar-Roy", "GOLI_v2", "Intersection", "Voting", "Weak"]),
)
NAMES = st.builds(
    PatchName,
    sensor=st.sampled_from(["LC08", "LC09"]),
    level=st.sampled_from(["L1TP", "L1GT", "L1GS"]),
    path=st.integers(1, 233),
    row=st.integers(1, 248),
    acquired=DATES,
    processed=DATES.map(lambda day: day + timedelta(days=1)),
    collection=st.sampled_from(["01", "02"]),
    tier=st.sampled_from(["RT", "T1", "T2"]),
    number=st.integers(1, 99999).flatmap(lambda n: st.sampled_from([f"{n:05d}", f"{n:04d}", str(n)])),
    label=LABELS,
)


@given(NAMES)
def test_round_trip(name: PatchName) -> None:
    assert PatchName.parse(str(name)) == name
    assert PatchName.parse(str(name.image)).label is None


def test_the_fields_of_a_real_name() -> None:
    name = PatchName.parse("LC08_L1TP_193029_20200914_20200915_01_RT_Kumar-Roy_p00910")
    assert (name.path, name.row, name.label, name.number) == (193, 29, "Kumar-Roy", "00910")
    assert (name.acquired, name.processed) == (date(2020, 9, 14), date(2020, 9, 15))
    assert name.scene == "LC08_L1TP_193029_20200914_20200915_01_RT"
    assert str(name.image) == "LC08_L1TP_193029_20200914_20200915_01_RT_p00910"


@pytest.mark.parametrize(
    ("stem", "reason"),
    [
        ("LC08_L2SP_193029_20200914_20200914_02_T1_p00910", "level 2 is another quantity"),
        ("LC08_L1TP_193029_20201314_20200914_01_RT_p00910", "date that does not exist"),
        ("LC08_L1TP_193029_20200914_20200914_01_RT", "not a patch name; expected"),
        ("LC08_L1TP_193029_20200914_20200914_01_RT_p00910-1", "not a patch name"),
        ("holiday", "not a patch name"),
    ],
)
def test_wrong_names_are_refused_with_a_reason(stem: str, reason: str) -> None:
    with pytest.raises(PatchNameError, match=reason):
        PatchName.parse(stem)
