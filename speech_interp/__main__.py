"""`python -m speech_interp NAME ...` fetches checkpoints ahead of everything that needs them."""

import sys

from speech_interp.models.checkpoint_files import CheckpointError
from speech_interp.models.checkpoints import find_checkpoint
from speech_interp.models.loading import described

if __name__ == "__main__":
    try:
        for name in sys.argv[1:]:
            print(described(find_checkpoint(name)))
    except (CheckpointError, ValueError) as error:
        sys.exit(str(error))
