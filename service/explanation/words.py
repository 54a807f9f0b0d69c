"""How explanations write rules and fields."""

from __future__ import annotations

from collections.abc import Sequence

_RULES = {"email": "e-mail"}
FIELD_TITLES = {
    "full_name": "name",
    "email": "e-mail",
    "phone": "phone",
    "signup_date": "signed up",
    "status": "status",
}


def rule_in_words(rule: str) -> str:
    """``e-mail`` for ``email``."""
    return _RULES.get(rule, rule)


def rules_in_words(rules: str | None) -> str:
    """``e-mail and phone`` for ``email+phone``; empty for none."""
    return in_one_list([rule_in_words(rule) for rule in (rules or "").split("+") if rule])


def in_one_list(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
