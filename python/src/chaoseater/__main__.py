# SPDX-License-Identifier: MIT
"""The command line, which is a program of its own that lies beside this file."""

import os
import sys
from pathlib import Path
from typing import NoReturn


def main() -> NoReturn:
    """Becomes that program."""
    program = Path(__file__).parent / "chaoseater"
    os.execv(program, ["chaoseater", *sys.argv[1:]])


if __name__ == "__main__":
    main()
