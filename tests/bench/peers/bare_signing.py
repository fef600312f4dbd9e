"""Signatures alone, as many as messages were wanted: what a core allows, no mail at all.

One thread for each core; both kinds of signature leave the interpreter to others meanwhile.
Run as `… bare_signing KIND HOST PORT CONNECTIONS MESSAGES FILE`.
"""

from __future__ import annotations

import os
import sys
import threading

from tests.bench.peers.measuring import measure, parse_order, report
from tests.bench.signing import build_signer

signer = build_signer(sys.argv[1])
order = parse_order(sys.argv[2:])
threads = len(os.sched_getaffinity(0))
data = b"x" * 1500  # about as long as what is signed of a message's header


def sign() -> None:
    for _ in range(order.messages // threads):
        signer.sign_bytes(data)


def sign_all() -> int:
    working = [threading.Thread(target=sign) for _ in range(threads)]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    return order.messages // threads * threads


report(measure(sign_all))
