"""Strict imitations of Productive.io and Sage Accounting over real HTTP on 127.0.0.1.

Standard library only, and nothing of the application: a rounding mistake shared by both sides
would hide itself. `Sandbox` is the handle; `seed` documents what the services hold at the start.
"""

from .handle import Sandbox
from .seed import ORGANIZATION_ID, PRODUCTIVE_TOKEN
from .server import Call, Switches
from .signin import CLIENT_ID, CLIENT_SECRET

__all__ = [
    "CLIENT_ID",
    "CLIENT_SECRET",
    "ORGANIZATION_ID",
    "PRODUCTIVE_TOKEN",
    "Call",
    "Sandbox",
    "Switches",
]
