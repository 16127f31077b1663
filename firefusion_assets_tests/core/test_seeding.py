"""Choices that follow from a seed and a position."""

from hypothesis import given
from hypothesis import strategies as st

from firefusion_assets.core.seeding import spread_index


@given(groups=st.lists(st.sampled_from("abcd"), min_size=1, max_size=20), seed=st.integers(0, 1000))
def test_the_choice_goes_round_the_scenes_and_shows_every_background_once_a_pass(groups: list[str], seed: int) -> None:
    n, names = len(groups), tuple(groups)
    drawn = [spread_index(position, names, seed) for position in range(3 * n)]
    for start in range(0, 3 * n, n):
        one_pass = drawn[start : start + n]
        assert sorted(one_pass) == list(range(n))
        left = {name: groups.count(name) for name in groups}
        for position in range(n):  # no scene comes again while one that has more to show waits for its turn
            shown = [groups[item] for item in one_pass[:position]]
            group = groups[one_pass[position]]
            assert all(shown.count(other) >= shown.count(group) for other in left if shown.count(other) < left[other])
