"""Runs SQL statements, and prints the rows of each as a line of JSON."""

import json
import sys

import duckdb

for statement in sys.argv[1:]:
    rows = duckdb.sql(statement).fetchall()
    print(json.dumps([[value if isinstance(value, (bool, int, float, type(None))) else str(value) for value in row] for row in rows]))
