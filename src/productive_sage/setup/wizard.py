"""The walk of `configure`: each setting asked for on a terminal, written once a person agrees."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any

from productive_sage.desk import Ask
from productive_sage.errors import ConfigInvalid, Locked, PsageError
from productive_sage.settings import Settings
from productive_sage.setup.choices import (
    Changes,
    Key,
    Option,
    called,
)
from productive_sage.setup.questions import (
    Question,
    ServiceFacts,
    ends_the_walk,
    ledger_question,
    questions,
)

_PAGE = 15
"""Options shown at once."""


class _Move(Enum):
    KEEP = auto()
    SKIP = auto()
    BACK = auto()
    YES = auto()
    NO = auto()


Save = Callable[[Settings, Changes], Settings | None]
"""Writes changes to the settings a person saw; returns the present ones where they are others."""


def walk(person: Ask, settings: Settings, facts: ServiceFacts, save: Save) -> None:
    """Put the questions, show what will change, and have it written once the person agrees."""
    changes: Changes = {}
    been: list[int] = []
    at = 0
    person.say(f"Business in Sage: {facts.business}")
    while True:
        asked = [q for q in questions(settings, facts) if _applies(q, settings, changes)]
        if at < len(asked):
            value = _value(settings, changes, asked[at].key)
            move = _put(person, asked, at, value, can_go_back=bool(been))
            if move is _Move.BACK:
                at = been.pop()
                continue
            been.append(at)
            if isinstance(move, Option):
                _confirm(person, move)
                changes = _new({**changes, asked[at].key: (move.value, move.name)}, settings)
            at = _next(asked, at, move)
            continue
        # The answer to a question that no longer arises is not written.
        wanted = {q.key: changes[q.key] for q in asked if q.key in changes}
        verdict = _verdict(person, [q for q in asked if q.key in wanted], settings, wanted)
        if verdict is _Move.NO:
            return
        if verdict is _Move.BACK:
            at = been.pop()
            continue
        present = _saved(person, save, settings, wanted)
        if present is None:
            return
        if present != settings:
            settings, changes, been, at = present, _new(changes, present), [], 0


def ask_ledger(person: Ask, settings: Settings, facts: ServiceFacts) -> str:
    """The id of the default ledger account, where that is all that is missing."""
    person.say("This setting is a must and has no value yet. Ctrl-C stops and changes nothing.")
    move = _put(person, [ledger_question(settings, facts)], 0, None, can_go_back=False)
    if not isinstance(move, Option):
        raise TypeError(move)
    _confirm(person, move)
    return str(move.value)


def _value(settings: Settings, changes: Changes, key: Key) -> Any:
    """What holds now, None where nothing is set."""
    if key in changes:
        return changes[key][0]
    value = getattr(settings, key[0])
    if len(key) > 1:
        value = value.get(key[1])
    return None if value == "" else value


def _new(changes: Changes, settings: Settings) -> Changes:
    """The changes that are any."""
    return {
        key: change for key, change in changes.items() if change[0] != _value(settings, {}, key)
    }


def _applies(question: Question, settings: Settings, changes: Changes) -> bool:
    if question.only_if is None:
        return True
    key, answer = question.only_if
    return bool(_value(settings, changes, key) == answer)


def _next(asked: Sequence[Question], at: int, move: Option | _Move) -> int:
    at += 1
    while move is _Move.SKIP and at < len(asked) and asked[at].may_skip:
        at += 1
    return at


def _put(
    person: Ask, asked: Sequence[Question], at: int, value: Any, *, can_go_back: bool
) -> Option | _Move:
    """Put one question until there is an answer, or a move."""
    question = asked[at]
    person.say()
    person.say(_heading(asked, at))
    if question.why:
        person.say(question.why)
    keys = _keys(question, value, can_go_back=can_go_back)
    shown = _list(person, question.options, value)
    if value is not None and not _is_listed(question, value):
        person.say(f"Set now: {_reads(question, value)}.")
    person.say(_hint(question, value, keys))
    while True:
        typed = person.typed("Answer")
        if typed.casefold() in keys:
            return keys[typed.casefold()]
        if not typed:
            person.say("An answer is needed here.")
            continue
        # Nominal codes are numbers too, but longer ones.
        if typed.isdecimal() and len(typed) < 3 and 1 <= int(typed) <= len(shown):
            return shown[int(typed) - 1]
        found = _found(person, question, typed)
        exact = called(found, typed)
        if len(exact) == 1:
            return exact[0]
        if found:
            shown = _list(person, found, value)


def _heading(asked: Sequence[Question], at: int) -> str:
    question = asked[at]
    topics = list(dict.fromkeys(q.topic for q in asked))
    heading = question.title
    if len(topics) > 1:
        step = topics.index(question.topic) + 1
        heading = f"Step {step} of {len(topics)}: {question.title}"
    alike = [q.key for q in asked if q.may_skip]
    if question.may_skip and len(alike) > 1:
        heading += f", {alike.index(question.key) + 1} of {len(alike)}"
    return heading


def _keys(question: Question, value: Any, *, can_go_back: bool) -> dict[str, Option | _Move]:
    """What has a meaning of its own when it is typed; Enter is the empty text."""
    keys: dict[str, Option | _Move] = {}
    is_right = _is_listed(question, value) if question.options else value is not None
    if is_right or not question.is_needed:
        keys[""] = _Move.KEEP
    if question.may_clear:
        keys["-"] = Option(None, question.unset)
    if question.may_skip:
        keys["s"] = _Move.SKIP
    if can_go_back:
        keys["b"] = _Move.BACK
    return keys


def _hint(question: Question, value: Any, keys: Mapping[str, Option | _Move]) -> str:
    is_shown = value is not None and not _is_listed(question, value)
    says = {
        "": "Enter to keep it" if is_shown else f'Enter to keep "{_reads(question, value)}"',
        "-": f"- for {question.unset}",
        "s": "s to skip the remaining service types",
        "b": "b to go back",
    }
    ways = [question.how] if question.how else []
    if question.options or question.searching:
        ways.append("a number to choose")
    ways += [says[key] for key in keys if (key, value) != ("-", None)]
    return f"Type {', '.join(ways)}."


def _is_listed(question: Question, value: Any) -> bool:
    return value in [option.value for option in question.options]


def _reads(question: Question, value: Any) -> str:
    """How a value of the settings reads."""
    if value is None:
        return question.unset
    labels = [option.label for option in question.options if option.value == value]
    return labels[0] if labels else question.reads(value)


def _list(person: Ask, options: Sequence[Option], value: Any) -> list[Option]:
    """Show the options with their numbers, as many as fit; returns those."""
    shown = list(options[:_PAGE])
    if not shown:
        return shown
    person.say()
    for number, option in enumerate(shown, start=1):
        meaning = f": {option.meaning}" if option.meaning else ""
        now = " (current)" if option.value == value else ""
        person.say(f"{option.label}{meaning}{now}", f"{number:>3}  ")
    if len(options) > _PAGE:
        person.say(f"{_PAGE} of {len(options)} are shown: search for the others.")
    person.say()
    return shown


def _found(person: Ask, question: Question, typed: str) -> list[Option]:
    """What a typed text may mean; that it means nothing, or that the search failed, is said."""
    if question.search is None:
        if not (found := called(question.options, typed)):
            person.say(f"Type a number from 1 to {len(question.options)}.")
        return found
    if question.searching:
        person.say(question.searching)
    try:
        found = list(question.search(typed))
    except PsageError as error:
        if ends_the_walk(error):
            raise
        person.say(_sentence(error))
        return []
    if not found:
        person.say(f"`{typed}` {question.nothing}")
    return found


def _confirm(person: Ask, option: Option) -> None:
    person.say(f"Chosen: {option.label}")
    if option.warning:
        person.say(f"Warning: {option.warning}")


def _verdict(
    person: Ask, changed: Sequence[Question], settings: Settings, changes: Changes
) -> _Move:
    """Show what will change, and ask whether to write it."""
    person.say()
    if not changed:
        person.say("Nothing was changed, so nothing was written.")
        return _Move.NO
    person.say("This will change:")
    person.say()
    for question in changed:
        before = _reads(question, _value(settings, {}, question.key))
        after = changes[question.key][0]
        person.say(f"{question.title}: {before} -> {_reads(question, after)}", "- ")
        for option in question.options:
            if option.value == after and option.warning:
                person.say(f"Warning: {option.warning}", "  ")
    person.say()
    person.say("Enter or y writes it, n leaves everything as it was, b goes back.")
    answers = {
        "": _Move.YES,
        "y": _Move.YES,
        "yes": _Move.YES,
        "n": _Move.NO,
        "no": _Move.NO,
        "b": _Move.BACK,
    }
    while (word := person.typed("Write these settings? [Y/n/b]").casefold()) not in answers:
        person.say("Type y, n or b.")
    if answers[word] is _Move.NO:
        person.say("Nothing was written; the settings are as they were.")
    return answers[word]


def _saved(person: Ask, save: Save, settings: Settings, changes: Changes) -> Settings | None:
    """None once it is written, else the settings as they are, after saying why it is not."""
    try:
        present = save(settings, changes)
    except (Locked, ConfigInvalid) as error:
        person.say(f"Not written: {_sentence(error)}")
        return settings
    if present is not None:
        person.say(
            "Not written: the settings were changed by somebody else meanwhile. Your answers are "
            "kept; look at each of them again."
        )
    return present


def _sentence(error: PsageError) -> str:
    return f"{error.message}; {error.hint}." if error.hint else f"{error.message}."
