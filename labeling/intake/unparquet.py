"""The inside of the Parquet reader: a program of its own that decodes hostile bytes and may die of it.

Damaged metadata makes the decoder end its process, and a small file may name one long text a million times. So this
reads the file that is its standard input, with limits on memory and time, and answers on standard output: the length
of a header, the header (JSON), then record batches as an Arrow stream. It imports nothing of Askwise.
"""

import faulthandler
import json
import os
import signal
import struct
import sys
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MAX_MEMORY = 2 * 1024**3  # of addresses, libraries included
MAX_BATCH_ROWS = 2048
MAX_BATCH_BYTES = 4 * 1024**2
BUFFER = 1024**2  # bytes read at a time of each column, so that a row group need not be read as a whole
TOO_LARGE = 3  # the exit status where memory does not do
LENGTH = struct.Struct("!I")


def main(seconds: float, batch_rows: int, memory: int) -> None:
    """Answer with the file on standard input; `seconds` is how long a batch may take."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then hangs up
    if sys.platform == "linux":
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[1]  # of the parent, which may itself be limited
        memory = memory if most == resource.RLIM_INFINITY else min(memory, most)
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.dump_traceback_later(seconds, exit=True)
    source = os.fdopen(0, "rb")
    source.seek(0)
    metadata = pq.read_metadata(source)
    source.seek(0)
    file = pq.ParquetFile(
        source, metadata=metadata, buffer_size=BUFFER, pre_buffer=False, read_dictionary=_short(metadata)
    )
    schema = file.schema_arrow
    unpacked = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    header = {"rows": metadata.num_rows, "columns": schema.names, "unpacked": unpacked, "classes": _classes(schema)}
    text = json.dumps(header).encode()
    answers = os.fdopen(1, "wb")
    answers.write(LENGTH.pack(len(text)) + text)
    answers.flush()
    rows = max(1, min(batch_rows, MAX_BATCH_BYTES * metadata.num_rows // max(1, unpacked)))
    # The same name twice is good Parquet, and no good schema of a stream.
    names = [str(number) for number in range(len(schema.names))]
    writer = None
    for batch in file.iter_batches(batch_size=rows, use_threads=False):
        batch = pa.RecordBatch.from_arrays(batch.columns, names=names)
        writer = writer or pa.ipc.new_stream(answers, batch.schema)
        writer.write_batch(batch)
        answers.flush()
        faulthandler.dump_traceback_later(seconds, exit=True)
    if writer:
        writer.close()
    answers.close()


def _short(metadata: pq.FileMetaData) -> list[str]:
    """The columns that take so few bytes that their values must come again and again, if they are long.

    These are read with each value once.
    """
    size: dict[str, int] = {}
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            size[column.path_in_schema] = max(size.get(column.path_in_schema, 0), column.total_uncompressed_size)
    columns = map(metadata.schema.column, range(metadata.num_columns))
    texts = {c.path for c in columns if c.physical_type == "BYTE_ARRAY" and c.max_repetition_level == 0}
    return [path for path in size if path in texts and size[path] <= MAX_BATCH_BYTES]


def _classes(schema: pa.Schema) -> dict[str, list[str]]:
    """The names of coded classes, as Hugging Face `datasets` writes them beside the schema."""
    try:
        features: dict[str, Any] = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            name: [str(label) for label in feature["names"]]
            for name, feature in features.items()
            if isinstance(feature, dict) and isinstance(feature.get("names"), list)
        }
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}


if __name__ == "__main__":
    try:
        main(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    except MemoryError:
        os._exit(TOO_LARGE)
