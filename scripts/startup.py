"""Compare the start of `psage --help` and of `psage status` with that of an empty Typer app.

Prints the quickest of several interleaved runs of each, in milliseconds, their ratio, and the
memory each took at most.
"""

import os
import subprocess
import sys
import time

EMPTY = """
import typer
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
@app.callback()
def root(): ...
@app.command()
def nothing(): ...
app(["--help"])
"""
COMMANDS = {
    "an empty typer app": [sys.executable, "-c", EMPTY],
    "psage --help": [sys.executable, "-m", "productive_sage", "--help"],
    "psage --version": [sys.executable, "-m", "productive_sage", "--version"],
    "psage status": [sys.executable, "-m", "productive_sage", "status"],
}


def measure(rounds: int = 15) -> dict[str, float]:
    """Seconds of the quickest run of each command; interleaved, so that a busy machine is fair."""
    quickest = dict.fromkeys(COMMANDS, float("inf"))
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 -- above
            quickest[name] = min(quickest[name], time.perf_counter() - began)
    return quickest


def peak_mb(command: list[str]) -> float:
    """Megabytes a command takes at most."""
    pid = os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, _, usage = os.wait4(pid, 0)
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    times = measure()
    (base, *_) = times.values()
    for name, seconds in times.items():
        memory = peak_mb(COMMANDS[name])
        print(f"{name:<20} {seconds * 1000:6.1f} ms   {seconds / base:.2f}   {memory:5.1f} MB")
