"""An edge list alone, as SNAP's: ids of two nodes a row."""

from pathlib import Path

from ...registry import Format, formats
from ..imported import Imported, Options
from ..tabular import read as read_tables
from ..text_tables import is_table


def recognizes(path: Path) -> bool:
    return path.is_file() and is_table(path)


def read(path: Path, options: Options) -> Imported:
    return read_tables(path, options)


formats.add(
    Format(
        "edge-list",
        label="Edge list",
        place=90,
        about=".csv, .tsv, .txt, .parquet, also .gz: two ids a row; --nodes, --features beside it",
        recognizes=recognizes,
        read=read,
    )
)
