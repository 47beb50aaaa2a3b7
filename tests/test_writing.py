"""Files are written whole or not at all, and only where they can be."""

import pytest

from ndtools.errors import OutputError
from ndtools.writing import check_writable, write_whole


def test_folders_are_made_and_what_is_no_folder_is_refused(tmp_path):
    check_writable([tmp_path / "a" / "b" / "c.png"])
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another folder"):
        check_writable([tmp_path / "file" / "c.png"])
    with pytest.raises(OutputError, match="choose another folder"):
        check_writable([tmp_path / "file" / "below" / "c.png"])


def test_names_that_are_too_long_are_refused_with_what_helps(tmp_path):
    with pytest.raises(OutputError, match=r"^cannot write n+: File name too long; choose a shorter name$"):
        check_writable([tmp_path / ("n" * 300)])
    with pytest.raises(OutputError, match="File name too long; choose another folder$"):
        check_writable([tmp_path / ("n" * 300) / "c.png"])
    assert not list(tmp_path.iterdir())


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert write_whole({tmp_path / "link": lambda file: file.write(b"new")}) == [tmp_path / "link"]
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 2
