"""What an earlier run had begun, joined with what this one is asked for and does."""

from dataclasses import replace

from productive_sage.copying.order import CopyOrder
from productive_sage.copying.records import Outcome
from productive_sage.errors import CopyIsDraft, PsageError, TotalsDiffer, UpdateLapsed


def is_as_asked(order: CopyOrder, earlier: Outcome) -> bool:
    """Whether what an earlier run had begun is what this one is asked for."""
    if order.again == "new":
        return earlier.recovered == "create-new"
    if order.again == "update":
        is_final = earlier.error is not None and not isinstance(earlier.error, UpdateLapsed)
        return earlier.recovered == "update" and is_final
    return bool(earlier.recovered)


def is_new(earlier: Outcome) -> bool:
    """Whether the copy an earlier run had begun was not known to be in Sage before."""
    return earlier.recovered.startswith("create")


def both(earlier: Outcome, later: Outcome) -> Outcome:
    """The later outcome of a document, with what the earlier one had to say."""
    if isinstance(earlier.error, UpdateLapsed):
        return later
    is_made = earlier.sage_id and not earlier.error and not later.sage_id
    if is_made and later.error and not isinstance(later.error, CopyIsDraft):
        return _not_as_asked(earlier, later.error)
    if is_new(earlier) and later.action == "updated":
        later = replace(later, action="created")
    is_still_so = earlier.error or (is_new(earlier) and later.action == "unchanged")
    main, other = (earlier, later) if is_still_so and not later.error else (later, earlier)
    return replace(
        main,
        notices=(*earlier.notices, *later.notices),
        pdf=main.pdf or other.pdf,
        recovered=main.recovered or other.recovered,
    )


def _not_as_asked(earlier: Outcome, error: PsageError) -> Outcome:
    """A copy that is in Sage as an earlier run had sent it, and could not be made as asked now."""
    figures = f"{earlier.net} {earlier.currency} net, {earlier.total} in all"
    said = f"{earlier.label} is in Sage as {earlier.sage_number}, as begun before: {figures}"
    return replace(
        earlier,
        action="differs",
        error=TotalsDiffer(f"{said}; it is not as asked for now: {error.message}", hint=error.hint),
    )
