"""Attaching the platform: its own files are edited, exactly where needed, and can be restored.

Invariant: whatever moment it is killed at, each file is whole, either as it was or as it shall be,
and what it was is in the record. So attaching again completes it, and detaching undoes it.
"""
