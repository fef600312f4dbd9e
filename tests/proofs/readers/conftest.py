"""The stage of the proofs about what readers reach: a sent edition, its pages served."""

from tests.integration.web.conftest import counting, sent, sent_counted, stage

__all__ = ["counting", "sent", "sent_counted", "stage"]
