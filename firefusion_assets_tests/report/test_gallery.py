"""The gallery shows each patch with its verdict, and every score to sort it by."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from firefusion_assets.core.pictures import Composite
from firefusion_assets.report.gallery import Painted, write_gallery
from firefusion_assets_tests.builders.reports import BANDS, painted

COMPOSITE = Composite(BANDS, BANDS)


class Articles(HTMLParser):
    """The attributes of each article, and how many pictures it has."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.pictures: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "article":
            self.found.append(dict(attrs))
            self.pictures.append(0)
        if tag == "img" and self.pictures:
            self.pictures[-1] += 1


def test_each_patch_stands_with_its_verdict_and_its_scores(tmp_path: Path) -> None:
    patches = [
        Painted(painted(), {"seam_score": 1.25, "memorised_score": math.nan}),
        Painted(replace(painted(accepted=False), reason="a seam & <b>more</b>"), {"seam_score": 7.5}),
    ]
    file = tmp_path / "gallery.html"
    write_gallery("demo: what native painted", iter(patches), COMPOSITE, None, {"seam_score": 3.0}, "Two of two.", file)
    page, articles = file.read_text(), Articles()
    articles.feed(page)
    assert [one["class"] for one in articles.found] == ["accepted", "rejected"]
    assert [one.get("data-seam_score") for one in articles.found] == ["1.25", "7.5"]
    assert not any("data-memorised_score" in one for one in articles.found)
    assert articles.pictures == [4, 3], "without a training fire beside it one picture less"
    assert page.count("(limit 3)") == 2
    assert "a seam &amp; &lt;b&gt;more" in page and "Two of two." in page
    assert re.findall(r'option value="(\S+) (\S+)"', page) == [
        ("number", "1"), ("seam_score", "1"), ("seam_score", "-1"),
    ]  # fmt: skip


def test_names_of_patches_and_scores_are_escaped(tmp_path: Path) -> None:
    hostile = '"><img src=x onerror="alert(1)">'
    patches = [Painted(replace(painted(), caption=hostile, reason=hostile), {"seam_score": 1.0})]
    write_gallery(hostile, patches, COMPOSITE, None, {}, hostile, tmp_path / "gallery.html")
    page = (tmp_path / "gallery.html").read_text()
    assert "<img src=x" not in page and page.count("&gt;&lt;img src=x") == 4


def test_the_page_is_the_same_again(tmp_path: Path) -> None:
    pages = [tmp_path / name for name in ("one.html", "two.html")]
    for page in pages:
        write_gallery("t", [Painted(painted(), {"seam_score": 1.0})], COMPOSITE, None, {"seam_score": 3.0}, "", page)
    assert pages[0].read_bytes() == pages[1].read_bytes()
