"""llama.cpp's server from the wheel xllamacpp: prints its address on loopback, and serves until it is ended.

python -m faion_finetuner.core.merge.xllamacpp_child -m MODEL.gguf
"""

import signal
import sys

from ..extras import require
from ..models.gguf.engines import CONTEXT


def main(model: str) -> None:
    """Serve the file."""
    xllamacpp = require("xllamacpp", "Serving a GGUF file")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.n_ctx = CONTEXT
    parameters.use_jinja = True
    server = xllamacpp.Server(parameters)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[2])
