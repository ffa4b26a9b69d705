"""Writes the small Parquet and Arrow files of types and shapes that Go's writer has none of. usage:
parquet.py   (needs pyarrow 26.0.1)
"""
import datetime
import decimal
import os

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

os.chdir(os.path.dirname(os.path.abspath(__file__)))


def pairs(n, **more):
    column = lambda name: pa.array([f"{name} {i}" for i in range(n)], pa.string())
    return pa.table({name: column(name) for name in ("prompt", "chosen", "rejected")} | more)


pq.write_table(pairs(0), "no-rows.parquet")
one = pairs(1)
with pq.ParquetWriter("no-rows-between.parquet", one.schema) as w:
    for table in (pairs(0), one, pairs(0), one):
        w.write_table(table)
pq.write_table(pairs(2).append_column("chosen", pa.array(["x", "y"])), "column-twice.parquet")
