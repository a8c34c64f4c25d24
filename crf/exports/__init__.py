"""Records as files for analysis, without a framework: tables, de-identification, writers, dictionary and scripts.

The layout is pinned: what a column is called and means changes only with the number in `FORMAT`.
"""

FORMAT = "lobule-records/1"
