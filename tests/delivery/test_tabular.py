"""Tables as pandas reads them, and cells that a spreadsheet would run."""

import io
import json

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.delivery import tabular
from labeling.delivery.tabular import DANGEROUS, cell
from labeling.workspace import Workspace
from tests.db.small_project import SmallProject
from tests.delivery.exported import export, give


@pytest.fixture
def small(workspace: Workspace) -> SmallProject:
    made = SmallProject.make(workspace, classes=("=cat", "dög"))
    give(made, text=["=1+1", "b\n\r", 'c",', "d", "e", "f"], meta=[{"ü": [1, None]}, {}, {}, {}, {}, {}])
    made.answer(made.people[0], made.items[0], made.classes[0])
    made.answer(made.people[0], made.items[1], made.classes[1])
    return made


@given(st.text(st.sampled_from("'=+-@\t\ra1"), max_size=5))
def test_an_escaped_cell_is_no_formula_and_tells_what_it_was(text: str):
    escaped = str(cell(text))
    assert not escaped.startswith(DANGEROUS)
    looks_escaped = escaped[:1] == "'" and escaped.lstrip("'").startswith(DANGEROUS)
    assert (escaped[1:] if looks_escaped else escaped) == text


def test_pandas_reads_parquet_with_its_types(small: SmallProject):
    table = pd.read_parquet(io.BytesIO(export(small, "parquet", rows="labels", split="a=0.5,b=0.5")))
    assert list(table["label"].fillna("")) == ["=cat", "dög", "", "", "", ""]
    assert list(table["text"]) == ["=1+1", "b\n\r", 'c",', "d", "e", "f"]
    assert json.loads(table["meta"][0]) == {"ü": [1, None]}
    assert set(table["split"]) <= {"a", "b"}
    assert table["answers"].dtype == "int64" and table["confidence"].dtype == "float64"
    answers = pd.read_parquet(io.BytesIO(export(small, "parquet")))
    assert answers["flagged"].dtype == "bool" and list(answers["class"]) == ["=cat", "dög"]


def test_an_empty_parquet_file_has_its_columns(workspace: Workspace):
    table = pd.read_parquet(io.BytesIO(export(SmallProject.make(workspace, items=0), "parquet", rows="labels")))
    assert len(table) == 0 and "label" in table


def test_parquet_comes_in_row_groups(small: SmallProject, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("labeling.delivery.moment.CHUNK", 2)
    monkeypatch.setattr(tabular, "ROW_GROUP", 4)
    file = pq.ParquetFile(io.BytesIO(export(small, "parquet", rows="labels")))
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [4, 2]
    monkeypatch.setattr(tabular, "HEAVY", 1)
    assert pq.ParquetFile(io.BytesIO(export(small, "parquet", rows="labels"))).num_row_groups == 3


def test_pandas_reads_csv_and_json_lines(small: SmallProject):
    table = pd.read_csv(io.BytesIO(export(small, "csv", rows="labels")), keep_default_na=False)
    assert list(table["text"]) == ["'=1+1", "b\n\r", 'c",', "d", "e", "f"]
    lines = pd.read_json(io.BytesIO(export(small, "jsonl", rows="labels")), lines=True)
    assert list(lines["text"]) == ["=1+1", "b\n\r", 'c",', "d", "e", "f"]
