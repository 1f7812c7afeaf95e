"""Drift: what the catalogue of a database says, compared with what it says after sql/ alone.

facts.sql reads a catalogue as facts; scratch.py makes the declared ones from sql/ in a database of
its own; compare.py tells both apart; repair.py says what would make them equal again.
"""
