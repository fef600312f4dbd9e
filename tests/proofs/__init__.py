"""Proofs of the delivery promise: senders are killed, frozen, doubled and starved."""
