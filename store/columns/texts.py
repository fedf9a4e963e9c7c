"""Columns of texts, which differ in little more than name and description."""

from __future__ import annotations

from typing import Any

from store.registry import ColumnRegistry

__all__ = ["Text", "define_texts"]

Text = tuple[str, str, str, str]
"""Name, description, synonym, sample."""


def define_texts(
    registry: ColumnRegistry, category: str, role: Any, meaning: str, texts: tuple[Text, ...]
) -> None:
    """Define columns of one category, role and semantic type."""
    for name, description, synonym, sample in texts:
        registry.define(
            name,
            str,
            role=role,
            category=category,
            description=description,
            synonyms=[synonym],
            sample_values=[sample],
            semantic_type=meaning,
        )
