# SPDX-License-Identifier: MIT
"""Injectors for the three layers, and the base of your own."""
