"""Calls that come from another host: what they find here, and what is said of what they do not find."""

import os
import sys
from importlib.machinery import ModuleSpec

from . import functions


def settle(modules):
    """Makes imports find these texts, whatever other versions this host has of them, and what lies in the working directory."""
    try:
        functions.put_first(os.getcwd())
    except FileNotFoundError:
        pass  # The folder was removed: there is nothing to import from it.
    sys.meta_path.insert(0, _Carried(modules))


def explain(error):
    """Says in an exception which host it is that lacks a module, and what to do about it."""
    if error.name is None:
        return  # It was raised by hand.
    python = f"{sys.executable}, Python {sys.version_info[0]}.{sys.version_info[1]}"
    error.msg = (
        f"{error.msg} on host {os.uname().nodename} ({python})\n"
        "Install it there, or send it along: ship=[PATH] takes files and folders."
    )
    error.args = (error.msg,)


class _Carried:
    """Finds modules by the texts that came with the calls."""

    def __init__(self, modules):
        self._modules = modules

    def find_spec(self, name, _path=None, _target=None):
        """As the import system asks."""
        text = self._modules.get(name)
        if text is None:
            return None
        is_package = any(other.startswith(f"{name}.") for other in self._modules)
        spec = ModuleSpec(name, functions.Text(text), origin=f"<{name}>", is_package=is_package)
        spec.has_location = True
        return spec
