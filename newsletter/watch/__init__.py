"""Watching over the publication: what is wrong, who is told of it, and that somebody looks.

    look ─▶ judge ─▶ register ─▶ tell
    facts   alarms   standing    mail, webhook, chat

`watchdog` does that again and again, in a thread of its own: a schedule that stands still must
not keep it from saying so. What nobody in this process can tell, that the process is gone, an
outside service tells when its `heartbeat` stops.
"""
