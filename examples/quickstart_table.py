"""Print the quick start's table: measures of each run, and how many documents a second its index took."""

import json
from pathlib import Path

rows: dict[str, list[str]] = {}
for line in Path("measures.jsonl").read_text().splitlines():
    value = json.loads(line)
    rows.setdefault(value["run"], []).append(f"{value['value']:.3f}")
for run, cells in rows.items():
    (manifest,) = Path("index", run).glob("*/manifest.json")
    built = json.loads(manifest.read_text())
    cells.append(f"{built['documents'] / built['seconds']:,.0f}")
print("| run | nDCG@10 | RR@10 | R@100 | docs/s |\n| :--- | ---: | ---: | ---: | ---: |")
for run, cells in rows.items():
    print(f"| {' | '.join([run, *cells])} |")
