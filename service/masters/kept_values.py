"""Values about files of sets that take long to compute: each is computed once, and the last ones are kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

V = TypeVar("V")


class KeptValues:
    """The last ``most`` values, by their keys. One is computed at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock, self._computing = threading.Lock(), threading.Lock()

    def get(self, key: Hashable, compute: Callable[[], V]) -> V:
        """The value of the key, from ``compute`` the first time; ``compute`` must not call ``get`` itself."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return cast("V", self._values[key])
        with self._computing:
            with self._lock:
                if key in self._values:  # computed while this thread waited
                    return cast("V", self._values[key])
            value = compute()
            with self._lock:
                self._values[key] = value
                while len(self._values) > self._most:
                    self._values.popitem(last=False)
            return value
