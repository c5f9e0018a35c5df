"""rd-entropy -q as a filter: what it holds does not grow with the number of records."""

from __future__ import annotations

import tracemalloc

from rdtools.diagnose.diagnosis import Diagnosis, measured_files
from rdtools.diagnose.rows import encode_rows, rows_by_query
from rdtools.formats import Reading


def peak_of(path, records):
    """Return the most bytes that Python and numpy held at a time, and the number of lines written."""
    docs = ",".join(f'{{"doc_id":"d{n}","score":{n}.5}}' for n in range(4))
    with path.open("w") as file:
        for n in range(records):
            file.write(f'{{"query_id":"q{n}","docs":[{docs}],"score_scale":"logit"}}\n')
    diagnosis = Diagnosis(1.0, None, soon=True)
    tracemalloc.start()
    try:
        rows = rows_by_query(diagnosis, measured_files(diagnosis, [str(path)], Reading()))
        lines = sum(part.count(b"\n") for part in encode_rows(rows, "tsv"))
        return tracemalloc.get_traced_memory()[1], lines
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_records(tmp_path, monkeypatch):
    monkeypatch.setattr("rdtools.diagnose.diagnosis.CHUNK", 64)
    few, lines = peak_of(tmp_path / "few.jsonl", 500)
    many, more_lines = peak_of(tmp_path / "many.jsonl", 3_000)
    assert (lines, more_lines) == (501, 3_001)
    assert many < few + 50_000  # 20 bytes a record, less than any object takes
