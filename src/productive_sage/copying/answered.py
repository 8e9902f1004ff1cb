"""What a person answered while a plan was made, and gives as an answer again when it is applied."""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from productive_sage.desk import Ask
from productive_sage.errors import Refused
from productive_sage.productive.records import Invoice


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """A question that was put to a person, and what they chose or typed."""

    question: str
    answer: str


class Recording:
    """Somebody at a terminal, whose answers are kept."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.answers: list[GivenAnswer] = []

    def __call__(
        self,
        question: str,
        answers: Sequence[str],
        default: int | None,
        keys: Sequence[tuple[str, str]] = (),
    ) -> int:
        """Put a question, and keep what is chosen."""
        chosen = self._ask(question, answers, default, keys)
        self.answers.append(GivenAnswer(question, _labels(answers, keys)[chosen]))
        return chosen

    def typed(self, question: str) -> str:
        """What is typed, and kept."""
        typed = self._ask.typed(question)
        self.answers.append(GivenAnswer(question, typed))
        return typed

    def say(self, text: str = "", first: str = "") -> None:
        """Tell the person something."""
        self._ask.say(text, first)

    def show(self, invoice: Invoice) -> None:
        """Show a document before it is asked about."""
        self._ask.show(invoice)


class Replay:
    """Gives the answers that were given when a plan was made; nobody is asked.

    A question that was not put then, or one to which that answer is none any more, means that
    something has changed.
    """

    def __init__(self, answers: Iterable[GivenAnswer]) -> None:
        self._given: dict[str, deque[str]] = defaultdict(deque)
        for one in answers:
            self._given[one.question].append(one.answer)

    def __call__(
        self,
        question: str,
        answers: Sequence[str],
        default: int | None,  # noqa: ARG002 -- as `Ask` has it
        keys: Sequence[tuple[str, str]] = (),
    ) -> int:
        """The answer that was given. Raises `plan_changed`."""
        labels, given = _labels(answers, keys), self._next(question)
        if given in labels:
            return labels.index(given)
        then = f"answered with `{given}`" if given is not None else "no question"
        raise Refused(
            f"it was {then} when the plan was made, and now it has to be asked: {question} "
            f"({'; '.join(labels)})",
            code="plan_changed",
        )

    def typed(self, question: str) -> str:
        """What was typed; nothing where nothing was."""
        return self._next(question) or ""

    def say(self, text: str = "", first: str = "") -> None:
        """Nobody listens."""

    def show(self, invoice: Invoice) -> None:
        """Nobody looks."""

    def _next(self, question: str) -> str | None:
        """In the order they were given; the last one for as long as it is asked."""
        given = self._given[question]
        return given[0] if len(given) == 1 else given.popleft() if given else None


def _labels(answers: Sequence[str], keys: Sequence[tuple[str, str]]) -> list[str]:
    return [*answers, *(label for _, label in keys)]
