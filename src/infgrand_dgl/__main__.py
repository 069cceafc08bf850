import os
import sys

from .cli import main

status = main()
if int(os.environ.get("WORLD_SIZE", "1")) > 1:
    # gloo's threads may yet hold tensors of Python's, and abort while it shuts down.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
sys.exit(status)
