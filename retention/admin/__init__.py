"""Pages on what is kept, held back, deleted and proved, one module per kind."""

from retention.admin import files, holds, ledger, plans, requests, runs

__all__ = ["files", "holds", "ledger", "plans", "requests", "runs"]
