# SPDX-License-Identifier: MIT
"""The shared library: what it exports is a contract, so a change of it is a visible diff."""
import subprocess


def test_the_library_exports_what_the_header_says_and_nothing_else(build, root):
    listing = subprocess.run(["nm", "-D", "--defined-only", build / "libchaoseater.so.0"], capture_output=True,
                             text=True, check=True).stdout
    exported = sorted(line.split()[2] for line in listing.splitlines() if not line.split()[2].startswith("__"))
    assert exported == (root / "tests" / "golden" / "symbols.txt").read_text().split()
