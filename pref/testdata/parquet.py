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
start = datetime.datetime(2020, 1, 1)
types = pairs(
    2,
    big=pa.array([2**63, 2**64 - 2**11], pa.uint64()),
    big32=pa.array([2**31, None], pa.uint32()),
    half=pa.array([0.5, None], pa.float16()),
    decimal=pa.array([decimal.Decimal("12.34"), None], pa.decimal128(10, 2)),
    stamp=pa.array([start, None], pa.timestamp("us")),
    date=pa.array([start.date(), None], pa.date32()),
    time=pa.array([datetime.time(1), None], pa.time64("us")),
    duration=pa.array([datetime.timedelta(1), None], pa.duration("us")),
    inner=pa.array([{"stamp": start, "half": 1.5, "list": [2**63]}, None],
                   pa.struct([("stamp", pa.timestamp("us")), ("half", pa.float16()), ("list", pa.list_(pa.uint64()))])),
    stamps=pa.array([[start, start]] * 2, pa.list_(pa.timestamp("us"))),
    halves=pa.array([[0.5, 2.5]] * 2, pa.list_(pa.float16())),
    texts=pa.array([["a", "b"]] * 2, pa.list_(pa.string())),
)
pq.write_table(types, "types.parquet")
with pa.ipc.new_stream("types.arrow", types.schema) as w:
    w.write_table(types)
numbers = lambda *texts: [decimal.Decimal(t) for t in texts]
decimals = pairs(
    2,
    margin=pa.array(numbers("1.2345678", "0.0000001"), pa.decimal128(9, 7)),
    small=pa.array(numbers("-0.05", "99.99"), pa.decimal128(4, 2)),
    whole=pa.array(numbers("999999999", "-1"), pa.decimal128(9, 0)),
    wide=pa.array(numbers("12345678901.2345678", "-0.0000001"), pa.decimal128(18, 7)),
    bytes=pa.array(numbers("123456789012345678901234.5678", "-0.0001"), pa.decimal128(28, 4)),
    list=pa.array([numbers("1.5", "2.5"), numbers("3.5")], pa.list_(pa.decimal128(18, 1))),
    inner=pa.array([{"d": d} for d in numbers("1.5", "2.5")], pa.struct([("d", pa.decimal128(5, 1))])),
)
pq.write_table(decimals, "decimals.parquet", store_decimal_as_integer=True)
