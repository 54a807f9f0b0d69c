"""State and outbox belong together: compared at the start; what a state lacks is rebuilt from the outbox."""

from service.adoption.older_states import refuse_older_state
from service.adoption.published_sets import PublishedSet, is_first_of_all, position_of, sets_in_order
from service.adoption.rebuilding import Unknown, rebuild

__all__ = [
    "PublishedSet",
    "Unknown",
    "is_first_of_all",
    "position_of",
    "rebuild",
    "refuse_older_state",
    "sets_in_order",
]
