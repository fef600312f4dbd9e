"""A daily digest of news briefs, delivered to every reader once.

Read `publish.py` first: it tells the whole way of the data in one file.
"""

import logging

# What nobody asked to be logged is not printed: a command says in its own words what happened.
logging.getLogger("newsletter").addHandler(logging.NullHandler())

__version__ = "0.1.0"
