# SPDX-License-Identifier: MIT
"""Reads pages with the parser that browsers' rules ask for (html5lib): a tree, and what was wrong with it."""

import xml.etree.ElementTree as ElementTree

import pytest

html5lib = pytest.importorskip("html5lib", reason="needs python3-html5lib")

SVG = "{http://www.w3.org/2000/svg}"


def parse(text):
    """The tree of a page that breaks no rule of HTML."""
    parser = html5lib.HTMLParser(tree=html5lib.getTreeBuilder("etree"), namespaceHTMLElements=False, strict=False)
    tree = parser.parse(text)
    assert not parser.errors, parser.errors[:5]
    return tree


def text_of(element):
    return " ".join("".join(element.itertext()).split())


def elements(tree, **wanted):
    """Those with these attributes, for example id="r1"."""
    return [e for e in tree.iter() if all(e.get(key) == value for key, value in wanted.items())]


def with_class(tree, name):
    return [e for e in tree.iter() if name in (e.get("class") or "").split()]


def rows_of(table):
    """The cells' texts, row by row, the head's first."""
    return [[text_of(cell) for cell in row] for row in table.iter("tr")]


def local_name(element):
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else "comment"


def dump(element):
    return ElementTree.tostring(element, encoding="unicode")
