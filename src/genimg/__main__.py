"""`python -m genimg` is the command `genimg`."""

import sys

from genimg.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
