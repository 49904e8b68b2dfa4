"""How dates and moments are written, by language: one way each, on every page."""
