"""Thin commands, named as the platform's plan names them."""
