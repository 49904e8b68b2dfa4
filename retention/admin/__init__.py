"""Pages on what is kept, held back, deleted and proved, one module per kind."""

from retention.admin import backups, files, holds, ledger, plans, requests, runs

__all__ = ["backups", "files", "holds", "ledger", "plans", "requests", "runs"]
