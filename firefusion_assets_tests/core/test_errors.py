"""Problems as people read them."""

from firefusion_assets.core.errors import gathered


def test_the_same_problem_of_many_files_is_one_line() -> None:
    many = [f"a{n}.tif: has no mask; add it" for n in range(7)]
    few = [f"b{n}.tif: is cut short; fetch it again" for n in range(3)]
    alone = ["no patch holds data", "nothing else does"]
    told = "7 files (a0.tif, a1.tif, a2.tif, a3.tif, a4.tif and 2 more): has no mask; add it"
    assert gathered([*many, *few, *alone]) == [told, *few, *alone]
