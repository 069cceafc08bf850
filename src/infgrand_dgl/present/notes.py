"""What is told of a user's files: once it is known that they make sense. An error stands alone."""

import logging

OF_FILES = "infgrand_dgl.data.importing"


class Notes(logging.StreamHandler):
    """To stderr; warnings about files are held until `release_notes`."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == OF_FILES:
            self.held.append(record)
        else:
            super().emit(record)

    def tell(self) -> None:
        for record in self.held:
            super().emit(record)
        self.held.clear()


def release_notes() -> None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Notes):
            handler.tell()
