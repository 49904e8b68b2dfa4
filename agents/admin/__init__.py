"""Pages about people, one module per kind."""

from agents.admin import accounts, agents, skill_groups, status_changes

__all__ = ["accounts", "agents", "skill_groups", "status_changes"]
