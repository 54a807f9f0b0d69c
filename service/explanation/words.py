"""How explanations write rules and fields."""

from __future__ import annotations

from collections.abc import Sequence

_RULES = {"email": "e-mail", "weighed": "weighed evidence"}
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


_HOLDING = {"weighed": "weighed evidence", "id": "the same id", "decision": "a decision"}


def link_in_words(rules: str) -> str:
    """What links a record with another, whose name follows: ``same e-mail and phone as``, ``weighed evidence with``."""
    words = rules_in_words(rules)
    return f"{words} with" if rules.startswith("weighed") else f"same {words} as"


def weighed_reason_in_words(held_by: Sequence[str] | None, match_reason: str | None) -> str:
    """Why records are one customer in a set of weighed evidence; values that they share are not the reason alone.

    ``held_by``: the kinds of its links; None where they were not looked for.

    >>> weighed_reason_in_words(["weighed", "id"], "id+email+weighed")
    'by weighed evidence and the same id (they share e-mail)'
    """
    shared = [rule_in_words(it) for it in (match_reason or "").split("+") if it and it not in _HOLDING]
    if held_by is None:
        words = "weighed evidence, ids or decisions"
    else:
        # Beside decisions that keep others apart, what records share may be all that links them.
        words = in_one_list([_HOLDING[it] for it in held_by]) or "what they share"
    return f"by {words} (they share {in_one_list(shared)})" if shared else f"by {words}"
