"""What belongs to an artifact: everything that it was made from."""

from collections.abc import Callable, Iterable
from graphlib import CycleError, TopologicalSorter

from stages.errors import InputError


def closure(inputs: Callable[[str], Iterable[str]], ids: Iterable[str]) -> list[str]:
    """These ids and all that they were made from, inputs first; `inputs` says of what one is made.

    Raises:
        InputError: an artifact is said to be made from itself.

    """
    graph: dict[str, list[str]] = {}
    waiting = list(ids)
    while waiting:
        one = waiting.pop()
        if one not in graph:
            graph[one] = list(inputs(one))
            waiting += graph[one]
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise InputError(
            f"{error.args[1][0]} says that it was made from itself.", "No run writes that."
        ) from error
