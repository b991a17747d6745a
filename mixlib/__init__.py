"""Mixup for text classification: the methods of four papers, and what it takes to reproduce them."""

__version__ = "0.1.0"
