"""A folder of images that Hugging Face `datasets` loads: images, and a metadata file beside them for each side.

The metadata is Parquet because only there a column can say that it is a `ClassLabel`, with names of any kind, and with
gaps where an item has none. Names of folders as classes could not do either.
"""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from labeling.delivery.archives import Archive, Scratch, Sides, file_name, read_image
from labeling.delivery.label_rows import LabelRow, LabelRows
from labeling.delivery.tabular import ParquetTable, Part

METADATA = "metadata.parquet"
COLUMNS = {
    "file_name": pa.string(),
    "label": pa.int64(),
    "external_id": pa.string(),
    "confidence": pa.float64(),
    "source": pa.string(),
    "meta": pa.string(),
    "near_duplicate_of": pa.string(),
}
CARD = """---
configs:
- config_name: default
  data_files:
{files}
---
# {name}

Load the unpacked folder with `datasets.load_dataset("path/to/this/folder")`. `label` is a `ClassLabel`, and nothing
where an image has none; `external_id` is what the image is called in Askwise, `meta` what came with it, as JSON.
"""


def write_image_folder(items: LabelRows) -> Iterator[Part]:
    """Images at `<side>/images/<name>`, then `<side>/metadata.parquet`, then the card that names the sides."""
    archive, sides, at = Archive(), Sides(), 0
    numbers = {class_id: number for number, class_id in enumerate(sorted(set(items.lookup.live.values())))}
    label = {"names": [items.lookup.classes[class_id] for class_id in numbers], "_type": "ClassLabel"}
    schema = pa.schema(list(COLUMNS.items()), {"huggingface": json.dumps({"info": {"features": {"label": label}}})})
    with Scratch() as scratch:
        tables: dict[str, ParquetTable] = {}
        for chunk in items.chunks():
            rows: dict[str, list[tuple[Any, ...]]] = {}
            for values in chunk.rows:
                row = LabelRow._make(values)
                assert row.image is not None
                data, ending = read_image(items.workspace, row.image, row.external_id)
                folder, name = sides.folder(row.split), f"images/{file_name(row.external_id, row.item_id, ending)}"
                archive.stored(folder + name, data)
                yield Part(archive.taken(), at)
                number = None if row.class_id is None else numbers[row.class_id]
                told = (row.external_id, row.confidence, row.source, row.meta, row.near_duplicate_of)
                rows.setdefault(folder, []).append((name, number, *told))
            at = chunk.after
            for folder, added in rows.items():
                if folder not in tables:
                    tables[folder] = ParquetTable(scratch.file(folder), schema)
                tables[folder].add(added)
        for folder, table in tables.items():
            table.close()
            for data in archive.copied(folder + METADATA, [scratch.file(folder)]):
                yield Part(data, at)
    archive.text("README.md", _card(items, sides))
    yield Part(archive.closed(), at)


def _card(items: LabelRows, sides: Sides) -> str:
    """The page that tells `datasets` which folder is which split; JSON text is also YAML."""
    named: dict[str, str] = {}
    for side, folder in sides.names.items() or {"train": ""}.items():
        name = "".join(c if c.isascii() and c.isalnum() else "_" for c in side).strip("_") or "side"
        named[name if name not in named else f"{name}_{len(named)}"] = folder
    files = "\n".join(f"  - split: {name}\n    path: {json.dumps(folder + '**')}" for name, folder in named.items())
    return CARD.format(files=files, name="Images with their labels")
