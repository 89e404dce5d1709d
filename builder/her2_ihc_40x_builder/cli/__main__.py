"""`python -m her2_ihc_40x_builder.cli`."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
