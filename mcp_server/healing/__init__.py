"""Healing: error → diagnosis → proof → fix → verification → record, or what a person must do.

What "healthy" means is sql/ (database/catalogue). Whatever is changed, is changed as mcp_heal,
whose event triggers let it add and never take away.
"""
