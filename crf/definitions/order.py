"""Put what depends on other things after them, and name the circle where that cannot be done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class Cycle(ValueError):
    """Names that need each other; the first one is repeated at the end."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(" -> ".join(names))
        self.names = names


def dependency_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """The keys of `needs`, each after those it needs; names that are no key are ignored."""
    order: dict[str, None] = {}
    for start in needs:
        if start not in order:
            _visit(start, needs, order)
    return list(order)


def _visit(start: str, needs: Mapping[str, Iterable[str]], order: dict[str, None]) -> None:
    """Depth first with our own stack: a form of thousands of chained derivations must not overflow Python's."""
    path = {start: iter(needs[start])}
    while path:
        name, waiting = next(reversed(path.items()))
        following = next(waiting, None)
        if following is None:
            order[name] = None
            del path[name]
        elif following in path:
            names = list(path)
            raise Cycle([*names[names.index(following) :], following])
        elif following in needs and following not in order:
            path[following] = iter(needs[following])
