"""Artifacts on disk: plain Parquet, published by one rename, indexed in DuckDB.

workspace   where everything lies           journal    rows of an unfinished run, batch by batch
artifact    reading and publishing          schema     records <-> Parquet columns
identity    keys and digests                index      DuckDB views; a cache, deletable at any time
failpoints  where tests kill the process   readonly   the files that a query may read
query       running a query of anybody's   *.sql      views such as `experiments`, intervals
"""
