#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes a file as a C string: embed.py INPUT OUTPUT NAME

The output is a header that holds `static const char NAME[]`."""
import sys


def quoted(line):
    text = "".join(f"\\{c}" if c in '"\\?' else c for c in line)
    return '    "' + text.replace("\t", "\\t") + '\\n"'


def main():
    source, target, name = sys.argv[1:]
    with open(source, encoding="ascii") as file:
        lines = [quoted(line.rstrip("\n")) for line in file]
    with open(target, "w", encoding="ascii") as file:
        file.write(f"static const char {name}[] =\n" + "\n".join(lines or ['    ""']) + ";\n")


main()
