"""aiosmtplib: a task and a connection kept open each, in one event loop."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from tests.bench.peers.measuring import SENDER, measure, read_order, report

aiosmtplib: Any = importlib.import_module("aiosmtplib")  # in the benchmark's own environment only
order = read_order()
content = order.path.read_bytes()


async def send(recipients: list[str]) -> None:
    client = aiosmtplib.SMTP(
        hostname=order.host,
        port=order.port,
        local_hostname="news.example",
        use_tls=False,
        start_tls=False,
    )
    async with client:
        for recipient in recipients:
            await client.sendmail(SENDER, recipient, content)


async def send_all() -> int:
    await asyncio.gather(*(send(order.recipients(n)) for n in range(order.connections)))
    return order.messages


report(measure(lambda: asyncio.run(send_all())))
