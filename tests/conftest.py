"""What many tests share: a small folder of drawn hands, a cache of its own, and the real images where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.data import synthetic

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "11k-mini"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Never the user's cache; one for all workers of a parallel run, so that the demo's hands are drawn once."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    os.environ.setdefault("HANDREID_CACHE", str(shared / "handreid-cache"))
    os.environ["XDG_STATE_HOME"] = str(shared / "state")  # nor the user's log


@pytest.fixture(scope="session")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn hands in the 11k layout: 10 train identities and 6 test identities with 6 images of 64 px each."""
    folder = tmp_path_factory.mktemp("hands") / "small"
    synthetic.write(folder, train_identities=10, test_identities=6, images=6, seed=0, size=64)
    return folder


@pytest.fixture(scope="session")
def real_hands() -> Path:
    """Real images of 11k Hands. The test is skipped where they are absent."""
    if not REAL.is_dir():
        pytest.skip("the real images are not here")
    return REAL
