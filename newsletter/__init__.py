"""A daily digest of news briefs, delivered to every reader once.

Read `publish.py` first: it tells the whole way of the data in one file.
"""

__version__ = "0.1.0"
