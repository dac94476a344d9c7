"""Sections of a recipe laid over others."""

from typing import Any


def laid(settings: dict[str, Any], sections: dict[str, Any]) -> dict[str, Any]:
    """``settings`` with the keys of ``sections`` laid over theirs, one level deep; what is no mapping takes a place."""
    over = {
        name: {**settings.get(name, {}), **section} if isinstance(section, dict) else section
        for name, section in sections.items()
    }
    return settings | over
