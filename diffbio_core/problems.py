"""How a bad input is told: which file or option, what is wrong, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with the input of a run.

    Attributes:
        subject: The file, option or region at fault, with the line where that helps.
        what: What is wrong, as half a sentence.
        remedy: What to do about it, as a sentence.
    """

    subject: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.what}. {self.remedy}"


class InputError(ValueError):
    """Input that cannot be used; holds every problem that was found, not only the first.

    Attributes:
        problems: What is wrong, in the order found.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[Problem, ...]]]:
        # A worker's error travels whole; the default would rebuild it from its message.
        return InputError, (self.problems,)
