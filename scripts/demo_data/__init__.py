"""A made-up AtlasTrinity database: its schema and storage formats, filled from a seed."""

from scripts.demo_data.size import parse_size

__all__ = ["parse_size"]
