"""Pages about people, one module per kind."""

from agents.admin import accounts, agents, device_checks, service_numbers, skill_groups, status_changes

__all__ = ["accounts", "agents", "device_checks", "service_numbers", "skill_groups", "status_changes"]
