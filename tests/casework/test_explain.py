"""`handreid explain` as a user calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.casework.test_identify import identify, photo
from tests.cli.test_openset import handreid


@pytest.mark.long
def test_maps_come_with_their_controls_and_changed_files_are_refused(desk: Path) -> None:
    assert identify(desk, f"../photos/{photo(desk).name}").returncode == 0
    done = handreid("explain", "last", "2", cwd=desk / "desk")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("with the top quarter hidden") == 2
    assert done.stdout.count("Correlation with the map of random weights") == 2
    assert "This shows what the model used, not which features correspond." in done.stdout
    assert "candidates 1 to 12, not 13" in handreid("explain", "last", "13", cwd=desk / "desk").stderr
    photo(desk).write_bytes(b"another")
    done = handreid("explain", "last", cwd=desk / "desk")
    assert done.returncode == 2 and "no longer matches the case" in done.stderr
