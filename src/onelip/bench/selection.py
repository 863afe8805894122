"""Methods by name: the registered ones, and those that a module outside the package holds."""

from __future__ import annotations

import ast
import difflib
import functools
import hashlib
import importlib
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
        orthogonal_zeros=method.traits.orthogonal_zeros,
        padding=method.padding,
        source=_source(method),
    )


@functools.cache
def _source(method: Method) -> str:
    """Digest of the files that a method of one's own is written in; an edited one is another method.

    Those are the files of its classes, and those of the same package, or of the same folder, that they import. Read
    once: what is edited while it runs is not what runs.
    """
    kinds = (kind for made in (method.conv2d, method.linear) for kind in made.__mro__)
    left = [name for name in dict.fromkeys(kind.__module__ for kind in kinds) if _is_own(name)]
    found: dict[str, bytes] = {}
    while left:
        name = left.pop()
        path = _file(name)
        if name not in found and path is not None:
            found[name] = path.read_bytes()
            left += [other for other in _imports(name, found[name]) if _is_near(other, name)]
    return hashlib.sha256(b"".join(found[name] for name in sorted(found))).hexdigest()[:16] if found else ""


def _is_own(name: str) -> bool:
    return name in sys.modules and name.partition(".")[0] not in {"onelip", "torch", *sys.stdlib_module_names}


def _file(name: str) -> Path | None:
    """Where a module is written; what was made in an interpreter has no file."""
    path = getattr(sys.modules[name], "__file__", None)
    return Path(path) if path is not None and path.endswith(".py") and Path(path).is_file() else None


def _imports(name: str, source: bytes) -> list[str]:
    """The loaded modules that a module's source names in its imports."""
    package = getattr(sys.modules[name], "__package__", None) or ""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*filter(None, parts), *filter(None, [node.module])])
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return [one for one in dict.fromkeys(found) if _is_own(one)]


def _is_near(name: str, other: str) -> bool:
    """Whether two modules are of one package, or single files of one folder, but not where packages are installed."""
    if "." in other or "." in name:
        return name.partition(".")[0] == other.partition(".")[0]
    there, here = _file(name), _file(other)
    return there is not None and here is not None and there.parent == here.parent and "site-packages" not in here.parts


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
