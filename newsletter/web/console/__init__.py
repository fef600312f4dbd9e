"""The operators' console: who may enter, what each may do, and the pages of the day.

Every request passes `gate.Gate` first: over https or on this machine, to our own host, with a
session whose role the table in `roles` asks for; and what changes something only from a page of
ours, by Origin and by the token in its form. What the table does not name is refused.
"""
