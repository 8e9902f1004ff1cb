"""A command line that makes no sense, in psage's words: what is wrong, and what comes near."""

import re
from collections.abc import Sequence
from typing import Any

from productive_sage import naming
from productive_sage.cli.session import current
from productive_sage.errors import UsageProblem

_COMMANDS = {
    "audit": "history",
    "auth": "connect",
    "compare": "reconcile",
    "config": "configure",
    "contacts": "customers",
    "copy": "copy-invoice",
    "credit": "credit-note",
    "invoice": "copy-invoice",
    "invoices": "list",
    "log": "history",
    "login": "connect",
    "logout": "disconnect",
    "logs": "history",
    "ls": "list",
    "pay": "sync-payments",
    "payments": "sync-payments",
    "register": "list",
    "settings": "configure",
    "setup": "configure",
    "show": "list",
    "sync": "sync-payments",
    "todo": "status",
}
_OPTIONS = {
    "-n": ["--dry-run"],
    "--all": ["--all-uncopied", "--full"],
    "--account": ["--default-ledger"],
    "--client": ["--customer", "--company"],
    "--contact": ["--customer"],
    "--csv": ["--format"],
    "--force": ["--overwrite", "--create-new"],
    "--from": ["--since"],
    "--html": ["--format"],
    "--output": ["--format", "--report"],
    "--period": ["--month"],
    "--status": ["--not-copied", "--copied", "--waiting"],
    "--tax": ["--tax-rate", "--default-tax-rate"],
    "--to": ["--until"],
    "--update": ["--update-existing"],
    "--vat": ["--tax-rate", "--default-tax-rate"],
}
_VALUES = {"add": "link", "delete": "forget", "remove": "forget", "set": "link", "unlink": "forget"}
"""Other words that people try."""
_LEFT_OUT = frozenset(("all", "both", "list", "show"))
"""Words for what an argument says by being left out."""


def problem(error: Any, root: Any, args: Sequence[str]) -> UsageProblem:
    """What a parser's error means to a person; `root` is the group of commands."""
    path = f"psage {current.command}".strip()
    command = root.commands.get(current.command, root)
    usage = f"`{path} --help` shows what it takes"
    if hasattr(error, "possibilities"):
        return _no_option(error.option_name, command, root, path)
    if hasattr(error, "option_name"):
        return _value(error.option_name, command, error.message, usage)
    if type(error).__name__ == "MissingParameter":
        return UsageProblem(f"`{path}` needs {_called(error.param)}", hint=_example(command))
    if getattr(error, "param", None):
        return _bad_value(error.param, error.message, usage)
    if error.message.startswith("No such command"):
        return _no_command(re.findall(r"'(.*?)'", error.message)[0], root, args)
    return _words(error.format_message(), path, usage)


def _words(said: str, path: str, usage: str) -> UsageProblem:
    """Too many words, or none."""
    if said.startswith("Missing command"):
        return UsageProblem("no command is named", hint="`psage --help` shows them all")
    if extra := re.match(r"Got unexpected extra argument\S* \((.*)\)", said, re.DOTALL):
        return UsageProblem(
            f"`{path}` does not take `{extra[1]}`",
            hint=f"a name of several words goes into quotes; {usage}",
        )
    return UsageProblem(said, hint=usage)


def _no_command(word: str, root: Any, args: Sequence[str]) -> UsageProblem:
    from productive_sage.cli import topics

    names, typed = list(root.commands), word.lower()
    following = args[args.index(word) + 1 :] if word in args else ()
    joined = "-".join((typed, *following[:1])).lower()
    meant = joined if joined in names else _COMMANDS.get(typed, "")
    if meant:
        hint = f"did you mean `psage {meant}`?"
    elif typed in topics.titles():
        hint = f"`psage help {typed}` tells about it"
    else:
        hint = naming.did_you_mean(typed, {name: f"psage {name}" for name in names})
    return UsageProblem(
        f"there is no command `{word}`", hint=hint or "`psage --help` shows them all"
    )


def _no_option(typed: str, command: Any, root: Any, path: str) -> UsageProblem:
    own = _options(command)
    others = [name for name, one in root.commands.items() if typed in _options(one)]
    begun = [name for name in own if len(typed) > 3 and name.startswith(typed)]
    meant = [name for name in _OPTIONS.get(typed, ()) if name in own]
    hint = f"`{path} --help` shows what it takes"
    if re.fullmatch(r"-\d.*", typed):
        hint = f"a name that begins with a dash goes behind `--`: `{path} -- {typed}`"
    elif typed == "--date" and "--tax-rate" in own:
        hint = "the document's own dates are copied; change them in Productive"
    elif found := meant or begun:
        hint = f"did you mean {' or '.join(f'`{name}`' for name in found)}?"
    elif others:
        places = [f"`psage {name}`" for name in others]
        more = " and others" if len(places) > 3 else ""
        hint = f"`{typed}` is for {', '.join(places[:3])}{more}; {hint}"
    elif near := naming.did_you_mean(_bare(typed), {_bare(name): name for name in own}):
        hint = near
    return UsageProblem(f"`{path}` has no option `{typed}`", hint=hint)


def _value(name: str, command: Any, said: str, usage: str) -> UsageProblem:
    if "does not take a value" in said:
        return UsageProblem(f"`{name}` takes no value", hint=f"write `{name}` alone")
    shown = (_options(command)[name].metavar or "VALUE") if name in _options(command) else "VALUE"
    return UsageProblem(f"`{name}` needs a value", hint=f"write it as `{name} {shown}`; {usage}")


def _bad_value(param: Any, message: str, usage: str) -> UsageProblem:
    """Of a number, one of a few words, or a file."""
    found = re.match(r"(?:\w+ )?'?(.*?)'? is (?:not|a)\b", message, re.DOTALL)
    value = found[1] if found else ""
    is_option = param.param_type_name == "option"
    typed = f"{_called(param)} {value}" if is_option else value
    kind = param.type
    if hasattr(kind, "choices"):
        words = [str(word) for word in kind.choices]
        hint = naming.did_you_mean(_VALUES.get(value, value), words)
        if value in _LEFT_OUT and not (is_option or param.required):
            hint = f"leave `{value}` out; without it all are meant"
        *first, last = [f"`{word}`" for word in words]
        return UsageProblem(f"`{typed}` must be {', '.join(first)} or {last}", hint=hint or usage)
    if "int" in kind.name:
        least, most = getattr(kind, "min", None), getattr(kind, "max", None)
        bounds = "" if least is None else f", {least} or more"
        bounds = bounds if most is None else f" from {least} to {most}"
        return UsageProblem(f"`{typed}` must be a whole number{bounds}", hint=usage)
    if "is a directory" in message:
        return UsageProblem(f"`{typed}` is a folder", hint="name a file")
    return UsageProblem(f"`{typed}`: {message}", hint=usage)


def _example(command: Any) -> str:
    found = re.search(r"Example: (psage .*)", command.help or "")
    return f"for example `{found[1]}`" if found else f"`psage {command.name} --help` shows more"


def _options(command: Any) -> dict[str, Any]:
    return {
        name: param
        for param in command.params
        if param.param_type_name == "option"
        for name in (*param.opts, *param.secondary_opts)
    }


def _called(param: Any) -> str:
    """How an option or an argument is called on the screen."""
    if param.param_type_name == "option":
        return str(max(param.opts, key=len))
    return str(param.metavar or param.name).strip("[].").upper()


def _bare(name: str) -> str:
    return name.replace("-", "").lower()
