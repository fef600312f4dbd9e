"""The stage of the proofs about what readers reach: a sent edition, its pages served."""

from tests.integration.web.conftest import sent, stage

__all__ = ["sent", "stage"]
