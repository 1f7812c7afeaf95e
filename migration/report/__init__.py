"""The report of a run: JSON for machines, one self-contained HTML page for people."""
