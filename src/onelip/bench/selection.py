"""Methods by name: the registered ones, and those that a module outside the package holds."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from onelip.bench.origin import MethodInfo
from onelip.errors import UnknownNameError
from onelip.method import Method
from onelip.methods import METHODS
from onelip.models.convnet import method_named

ALL = "all"
"""Stands for every registered method."""

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def find_methods(names: Iterable[str]) -> tuple[Method, ...]:
    """The methods of these names, each once, in their order.

    Args:
        names: Registered names, "all", or "package.module:NAME" for a `Method` of one's own; such a module is found
            among the installed ones and in the current folder, and is executed by being imported.

    Raises:
        UnknownNameError: A name does not exist, or two different methods have one name.
    """
    found: dict[str, Method] = {}
    for name in names:
        for method in METHODS.values() if name == ALL else (find_method(name),):
            if found.setdefault(method.name, method) is not method:
                raise UnknownNameError(f"method {name!r}: the name {method.name!r} is taken by another method")
    return tuple(found.values())


def find_method(name: str) -> Method:
    """The method of one name, as in `find_methods`."""
    return _imported(name) if ":" in name else method_named(name)


def yardstick(methods: Iterable[Method]) -> Method:
    """The unconstrained method that costs are compared with: one of these, else the registered one."""
    return next(method for method in (*methods, *METHODS.values()) if not method.traits.constrained)


def method_info(method: Method) -> MethodInfo:
    """What a record says of a method."""
    return MethodInfo(
        name=method.name,
        title=method.title,
        cite=method.cite,
        revision=method.revision,
        slack=method.slack,
        constrained=method.traits.constrained,
        orthogonal=method.traits.orthogonal,
        padding=method.padding,
        source=_source(method),
    )


def _source(method: Method) -> str:
    """Digest of the files that a method of one's own is written in; an edited one is another method.

    Those are the files of its classes, and of what these import from beside them.
    """
    kinds = (kind for made in (method.conv2d, method.linear) for kind in made.__mro__)
    own = [sys.modules[name] for name in dict.fromkeys(kind.__module__ for kind in kinds) if _is_own(name)]
    found: dict[str, Path] = {}
    while own:
        module = own.pop()
        if module.__name__ in found or (path := _file(module)) is None:
            continue
        found[module.__name__] = path
        own += [other for other in _imports(module) if _is_near(other, path)]
    files = sorted(set(found.values()))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16] if files else ""


def _is_own(name: str) -> bool:
    return name in sys.modules and name.partition(".")[0] not in {"onelip", "torch", *sys.stdlib_module_names}


def _file(module: ModuleType) -> Path | None:
    """Where a module is written; what was made in an interpreter has no file."""
    try:
        path = Path(inspect.getsourcefile(module) or "")
    except (OSError, TypeError):
        return None
    return path if path.is_file() else None


def _imports(module: ModuleType) -> list[ModuleType]:
    """The modules that the names of a module come from."""
    names = [
        value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        for value in vars(module).values()
    ]
    return [sys.modules[name] for name in dict.fromkeys(names) if isinstance(name, str) and _is_own(name)]


def _is_near(module: ModuleType, path: Path) -> bool:
    """Whether a module lies in the same folder as a file, or below it."""
    there = _file(module)
    return there is not None and path.parent in there.parents


def _imported(name: str) -> Method:
    module_name, _, attribute = name.partition(":")
    module = _module(name, module_name)
    method = getattr(module, attribute, None)
    if not isinstance(method, Method):
        raise UnknownNameError(f"method {name!r}: {module_name} has no Method of that name{_there(module, attribute)}")
    if not _SAFE.fullmatch(method.name):
        raise UnknownNameError(
            f"method {name!r} is called {method.name!r}; a name is made of letters, digits, '_', '.' and '-'"
        )
    if METHODS.get(method.name, method) is not method:
        raise UnknownNameError(f"method {name!r}: the name {method.name!r} is taken by the registered method")
    return method


def _module(name: str, module_name: str) -> ModuleType:
    # Last, so that a file in the current folder never stands in for an installed package.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(module_name)
    except Exception as error:  # foreign code may raise anything while it is imported
        raise UnknownNameError(
            f"method {name!r}: cannot import {module_name!r} ({type(error).__name__}: {error}); "
            "write package.module:NAME, a module of the current folder or an installed one"
        ) from error


def _there(module: ModuleType, attribute: str) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, Method)]
    near = difflib.get_close_matches(attribute, names, n=1)
    return f"; it has {', '.join(names) or 'none'}" + (f"; did you mean {near[0]}?" if near else "")
