"""The stages on which senders are killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proofs.stage import BACKENDS, Stage, open_stage


@pytest.fixture(scope="session", params=BACKENDS)
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """A publication on each database."""
    root = tmp_path_factory.mktemp("stage")
    url = f"sqlite:///{root / 'newsletter.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    with open_stage(root, url) as opened:
        yield opened
