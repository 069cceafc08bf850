"""An edge list alone, as SNAP's: ids of two nodes a row."""

from pathlib import Path

from ...registry import Format, formats
from ..tabular import read
from ..text_tables import is_table


def recognizes(path: Path) -> bool:
    return path.is_file() and is_table(path)


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
