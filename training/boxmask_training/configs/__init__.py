"""Recipes: one module each, whose docstring states source, cost, expected result and command."""
