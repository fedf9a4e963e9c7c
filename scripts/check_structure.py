"""Checks the structure of the packages: import circles, depth of inheritance, size of folders.

    python scripts/check_structure.py

Each package is held to `LIMITS`, and those that are not there yet to their present figures in
`ALLOWANCES`, which may only be lowered. Imports count wherever they stand: at the top of a module,
under TYPE_CHECKING, and in functions. Importing a module also runs the `__init__.py` of the
packages that it is in, so these count too, except those that the importing module is in itself.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "publishing",
    "server",
    "client",
    "store",
    "reactive",
    "workflow",
    "bridge",
    "trading",
    "step_scope",
)


@dataclass(frozen=True)
class Limits:
    """What a package may have at most."""

    in_circles: int = 0
    """Modules that import themselves by way of others."""
    bases: int = 1
    """Classes of ours that one class inherits from, directly or not; errors do not count."""
    folder: int = 20
    """Python and SQL files in one folder, `__init__.py` not counted."""
    families: frozenset[str] = field(default=frozenset())
    """Classes whose subclasses may inherit through more of ours, since each is one of them."""


LIMITS = Limits()
ALLOWANCES: dict[str, Limits] = {
    # The methods of an expression (`eval`, `to_sql`, …) need what writes the nodes, which are
    # expressions: one circle. Every node is an expression, and every expression is a tree.
    "reactive": replace(
        LIMITS, in_circles=14, families=frozenset({"reactive.expr.operators.Expr"})
    ),
    # DBOSEngine and MemoryEngine are durable engines, and those are engines.
    "workflow": replace(LIMITS, bases=2),
}


@dataclass
class Module:
    """A module: its imports, and its classes with the names of their bases as it knows them."""

    name: str
    path: Path
    names: dict[str, str] = field(default_factory=dict)
    """By name in the module: what was imported under it."""
    imports: set[str] = field(default_factory=set)
    classes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def package(self) -> str:
        """The package that the names of relative imports begin from."""
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]


def read_modules(root: Path, packages: Iterable[str]) -> dict[str, Module]:
    """Return the modules of the packages by their full names."""
    modules = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            modules[name] = Module(name, path)
    for module in modules.values():
        _read(module, modules)
    return modules


def _read(module: Module, modules: dict[str, Module]) -> None:
    tree = ast.parse(module.path.read_text(encoding="utf-8"), str(module.path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                module.imports.add(alias.name)
                bound = alias.asname or alias.name.partition(".")[0]
                module.names[bound] = alias.name if alias.asname else bound
        elif isinstance(node, ast.ImportFrom):
            source = _source(module, node)
            for alias in node.names:
                full = f"{source}.{alias.name}"
                module.imports.add(full if full in modules else source)
                module.names[alias.asname or alias.name] = full
        elif isinstance(node, ast.ClassDef):
            module.classes[node.name] = [ast.unparse(_plain(base)) for base in node.bases]


def _source(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.package.split(".")
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _plain(base: ast.expr) -> ast.expr:
    """Return a base without its type arguments: of `Generic[T]`, `Generic`."""
    return base.value if isinstance(base, ast.Subscript) else base


# --- circles ----------------------------------------------------------------------------------


def circles(modules: dict[str, Module]) -> list[list[str]]:
    """Return the groups of modules that import one another in a circle, each sorted by name."""
    edges = {name: sorted(_edges(module, modules)) for name, module in modules.items()}
    return [sorted(group) for group in _strongly_connected(edges) if len(group) > 1]


def _edges(module: Module, modules: dict[str, Module]) -> Iterator[str]:
    for imported in module.imports:
        parts = imported.split(".")
        for end in range(1, len(parts) + 1):
            target = ".".join(parts[:end])
            own = target == module.name or module.name.startswith(f"{target}.")
            # What is imported itself counts, the packages around it only from outside of them.
            if target in modules and target != module.name and (not own or end == len(parts)):
                yield target


def _strongly_connected(edges: dict[str, list[str]]) -> Iterator[list[str]]:
    """Yield the strongly connected components (Tarjan), without recursion."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for start, targets in edges.items():
        if start in index:
            continue
        work = [(start, iter(targets))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on_stack.add(start)
        while work:
            node, rest = work[-1]
            target = next(rest, None)
            if target is not None:
                if target not in index:
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, iter(edges[target])))
                elif target in on_stack:
                    low[node] = min(low[node], index[target])
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[node])
            if low[node] == index[node]:
                at = stack.index(node)
                yield stack[at:]
                on_stack.difference_update(stack[at:])
                del stack[at:]


# --- inheritance ------------------------------------------------------------------------------


def ancestors(modules: dict[str, Module], module: str, name: str) -> set[str]:
    """Return the classes of ours that a class inherits from, and `Exception` for an error."""
    found: set[str] = set()
    waiting = [(module, base) for base in modules[module].classes[name]]
    while waiting:
        where, base = waiting.pop()
        full = _resolve(modules, where, base)
        if full is None:
            if base.endswith(("Exception", "Error", "Warning", "BaseException")):
                found.add("Exception")
        elif full not in found:
            found.add(full)
            owner, _, cls = full.rpartition(".")
            waiting += [(owner, below) for below in modules[owner].classes[cls]]
    return found


def _resolve(modules: dict[str, Module], where: str, name: str) -> str | None:
    """Return the full name of a class of ours by its name in a module, None for any other class."""
    for _ in range(20):  # re-exports lead from one module to the next
        module = modules.get(where)
        if module is None:
            return None
        if name in module.classes:
            return f"{where}.{name}"
        head, _, rest = name.partition(".")
        full = ".".join(filter(None, [module.names.get(head, ""), rest]))
        if head not in module.names:
            return None
        where, _, name = full.rpartition(".")
    return None


# --- the check --------------------------------------------------------------------------------


@dataclass
class Figures:
    """What a package has."""

    circles: list[list[str]]
    bases: dict[str, list[str]]
    """By class: those of ours that it inherits from."""
    folders: dict[str, int]
    """By folder: its files."""

    @property
    def in_circles(self) -> int:
        """How many modules are in circles."""
        return sum(map(len, self.circles))

    def beyond(self, package: str, limits: Limits) -> Iterator[str]:
        """Yield a message for each figure that is beyond the limits."""
        if self.in_circles > limits.in_circles:
            listed = "; ".join(", ".join(group) for group in self.circles)
            yield (
                f"{package}: {self.in_circles} modules are in import circles, {limits.in_circles} "
                f"are allowed: {listed}; pass what is needed instead, or declare a Protocol"
            )
        for cls, bases in self.bases.items():
            if len(bases) > limits.bases:
                yield (
                    f"{cls} inherits through {len(bases)} classes of ours, {limits.bases} "
                    f"are allowed: {', '.join(bases)}; let it own what is only a part of it"
                )
        for folder, files in self.folders.items():
            if files > limits.folder:
                yield (
                    f"{folder}/ has {files} files, {limits.folder} are allowed; "
                    "divide it into sub-packages"
                )

    def slack(self, package: str, limits: Limits) -> Iterator[str]:
        """Yield a message for each allowance that is higher than it needs to be."""
        figures = {
            "in_circles": self.in_circles,
            "bases": max(map(len, self.bases.values()), default=0),
            "folder": max(self.folders.values(), default=0),
        }
        for name, figure in figures.items():
            allowed, needed = getattr(limits, name), max(figure, getattr(LIMITS, name))
            if allowed > needed:
                yield f"{package}: the allowance {name}={allowed} can be lowered to {needed}"


def measure(
    root: Path, modules: dict[str, Module], package: str, families: frozenset[str]
) -> Figures:
    """Return the figures of one package."""
    inherited = {}
    for name, module in modules.items():
        if name.partition(".")[0] != package:
            continue
        for cls in module.classes:
            bases = ancestors(modules, name, cls)
            if "Exception" not in bases and not bases & families:
                inherited[f"{name}.{cls}"] = sorted(bases)
    folders = {
        str(folder.relative_to(root)): sum(
            path.suffix in (".py", ".sql") and path.name != "__init__.py"
            for path in folder.iterdir()
        )
        for folder in [root / package, *(root / package).rglob("*")]
        if folder.is_dir()
    }
    own = [group for group in circles(modules) if _packages(group) == {package}]
    return Figures(own, inherited, folders)


def _packages(group: list[str]) -> set[str]:
    return {name.partition(".")[0] for name in group}


def check(
    root: Path, packages: Iterable[str], allowances: dict[str, Limits]
) -> tuple[list[str], list[str]]:
    """Return what is beyond the limits, and which allowances can be lowered."""
    present = [package for package in packages if (root / package).is_dir()]
    modules = read_modules(root, present)
    beyond = [
        f"packages import one another in a circle: {', '.join(group)}"
        for group in circles(modules)
        if len(_packages(group)) > 1
    ]
    slack: list[str] = []
    for package in present:
        limits = allowances.get(package, LIMITS)
        figures = measure(root, modules, package, limits.families)
        beyond += figures.beyond(package, limits)
        slack += figures.slack(package, limits)
    return beyond, slack


def main() -> int:
    """Print what is beyond the limits; return the exit status."""
    beyond, slack = check(ROOT, PACKAGES, ALLOWANCES)
    for message in [*beyond, *slack]:
        print(message)
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main())
