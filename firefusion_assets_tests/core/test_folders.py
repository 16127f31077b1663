"""What a person put below a folder is found, through links too, and nothing else."""

from pathlib import Path

from firefusion_assets.core.folders import files_below, is_new


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside / "deep", outside):
        folder.mkdir(parents=True)
        (folder / "x.tif").touch()
    (inside / "elsewhere").symlink_to(outside)
    (inside / "again.tif").symlink_to(outside / "x.tif")
    (inside / "loop").symlink_to(inside)
    (inside / "deep" / "up").symlink_to("..")
    (outside / "back").symlink_to(inside / "deep")
    (inside / "broken.tif").symlink_to("nothing.tif")
    found = [path.relative_to(inside).as_posix() for path in files_below(inside)]
    assert found == ["again.tif", "broken.tif", "deep/x.tif", "elsewhere/back/x.tif", "elsewhere/x.tif"]


def test_what_systems_leave_behind_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "__MACOSX").mkdir()
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._a.tif", "__MACOSX/a.tif", "a.tif", ".hidden"):
        (tmp_path / name).touch()
    assert [path.name for path in files_below(tmp_path)] == [".hidden", "a.tif"]


def test_a_folder_is_new_while_nothing_is_in_it(tmp_path: Path) -> None:
    assert is_new(tmp_path) and is_new(tmp_path / "missing")
    file = tmp_path / "x"
    file.touch()
    assert not is_new(tmp_path) and not is_new(file)
