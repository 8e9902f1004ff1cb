"""psage's own files: for their owner alone, and never through a link somebody laid."""

import logging
from pathlib import Path

import pytest

from productive_sage import logs
from productive_sage.cli.session import Session


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("mine")
    path.chmod(0o644)
    return path


def test_the_holder_is_for_its_owner_alone_and_follows_no_link(home: Path, victim: Path) -> None:
    session = Session(command="copy-invoice")
    place = session.home()
    holder = home / "default.holder"
    holder.symlink_to(victim)

    with session.run_lock(place):
        assert not holder.is_symlink()
        assert holder.stat().st_mode & 0o777 == 0o600
        assert "`psage copy-invoice`" in holder.read_text()

    assert not holder.exists()
    assert victim.read_text() == "mine"


def test_the_log_is_for_its_owner_alone_also_one_that_others_could_read(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "psage.log"
    file.parent.mkdir()
    file.touch(mode=0o644)
    logs.log_to(file, verbose=False)

    logging.getLogger("psage").error("half a character: \udc80")

    assert "half a character" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_no_log_is_written_through_a_link(tmp_path: Path, victim: Path) -> None:
    file = tmp_path / "logs" / "psage.log"
    file.parent.mkdir()
    file.symlink_to(victim)
    logs.log_to(file, verbose=True)

    logging.getLogger("psage").error("not for others")

    assert victim.read_text() == "mine"
    assert victim.stat().st_mode & 0o777 == 0o644
