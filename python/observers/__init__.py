# SPDX-License-Identifier: MIT
"""Observers, which are told of the start and the end of each experiment."""
