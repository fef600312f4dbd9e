"""The standard library's smtplib: a thread and a connection kept open each."""

from __future__ import annotations

import smtplib

from tests.bench.peers.measuring import SENDER, measure, read_order, report, send_in_threads

order = read_order()
content = order.path.read_bytes()


def send(recipients: list[str]) -> None:
    with smtplib.SMTP(order.host, order.port, local_hostname="news.example") as client:
        for recipient in recipients:
            client.sendmail(SENDER, recipient, content)


report(measure(lambda: send_in_threads(order, send)))
