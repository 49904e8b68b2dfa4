"""System checks: what production must have, with an id and a hint."""
