"""The layout: packages import downwards only, no import cycle, nothing too long or too small.

Every import counts, also inside a function and under `TYPE_CHECKING`: what is hidden from Python is
not hidden from a reader.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "sdrt": "runtime",
    "sdrt_server": "runtime",
    "sdrt_export": "export",
    "sdrt_bench": "benchmarks",
    "demo_model": "benchmarks",
}
SCRIPTS = "sdrt_bench.bench.peers.workers"
"""Run as files in the environments of peers, so that they import each other by bare names."""

# For each root its packages and top-level modules, from the top floor down. Each may import those
# on lower floors only, and so none of its own floor.
LAYERS = {
    "sdrt": (
        ("__main__",),
        ("cli",),
        ("batch", "diagnostics"),
        ("pipeline",),
        ("generation",),
        ("memory",),
        ("networks",),
        ("adapters",),
        ("artifact", "request", "images"),
        ("backends", "sampling"),
        ("text",),
        ("files",),
        # The bottom: values, types and facts that any package may name.
        ("manifest", "validation", "machine"),
        ("arrays", "cores", "errors", "version"),
    ),
    "sdrt_server": (
        ("cli",),
        ("app", "server"),
        ("a1111", "openai"),
        ("native",),
        ("http",),
        ("service",),
        ("worker",),
        ("metrics", "models"),
        ("jobs",),
        ("errors", "infotext", "limits"),
    ),
    "sdrt_export": (
        ("cli",),
        ("controlnet_exporter",),
        ("exporter",),
        ("single_graph", "quantization"),
        ("artifact",),
        ("graphs",),
        ("sources",),
        ("presets", "export_options"),
    ),
    "sdrt_bench": (
        ("docs", "serve_load"),
        ("compat",),
        ("bench",),
        ("tune",),
        ("compare",),
        ("charts",),
        ("precision_check", "prompts"),
        ("output_folder", "pareto", "scenes", "similarity", "unchanged"),
    ),
    "demo_model": (
        ("evaluate", "restore", "train_text_encoder", "train_unet", "train_vae"),
        ("geometry", "tokenizer", "training"),
    ),
}

# The faces: `__init__` modules that give names of their package to programs that use it.
FACES = {"sdrt", "sdrt.artifact", "sdrt.backends", "sdrt_export"}
# Inside of its root nobody imports the root's face, which stands above all floors.
ROOT_FACES = FACES & FOLDERS.keys()

MAX_LINES = 350
MAX_FUNCTION_LINES = 50
MAX_PARAMETERS = 8
SMALL_LINES = 40
MAX_SMALL = 9
"""How many modules may be smaller; faces, `__main__` and the scripts of peers do not count."""

# What may take more parameters, because its callers name each of them.
KEYWORD_FACES = {
    "sdrt.pipeline.load",  # the face of the library
    "sdrt.sampling.samplers.dpm_solver.dpm_solver",  # samplers take their options by name
    "sdrt.sampling.samplers.dpm_solver.dpmpp_2m",
}


@cache
def modules() -> Mapping[str, Path]:
    """Every module of the four roots by its import path."""
    paths = {}
    for root, folder in FOLDERS.items():
        for path in sorted((ROOT / folder / root).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return paths


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def imported_names(module: str) -> Iterator[str]:
    """Import paths that a module names, whether they are modules of ours or not."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in modules() else str(node.module)


@cache
def imports() -> Mapping[str, frozenset[str]]:
    """For every module the modules of ours that it imports, itself left out."""
    graph = {}
    for module in modules():
        folder = module.rpartition(".")[0]
        named = set(imported_names(module))
        if folder == SCRIPTS:
            named |= {f"{folder}.{name}" for name in named}
        graph[module] = frozenset(named & modules().keys() - {module})
    return graph


def floors(root: str) -> dict[str, int]:
    """The floor of each package of a root, counted from the top."""
    return {name: floor for floor, names in enumerate(LAYERS[root]) for name in names}


def package(module: str) -> str:
    """The package directly below the root, or the top-level module."""
    return module.split(".")[1]


def functions(nodes: Iterable[ast.AST], prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions and methods, also nested ones, with their dotted names."""
    for node in nodes:
        is_named = isinstance(node, ast.FunctionDef | ast.ClassDef)
        name = f"{prefix}.{node.name}" if is_named else prefix  # type: ignore[attr-defined]
        if isinstance(node, ast.FunctionDef):
            yield name, node
        yield from functions(ast.iter_child_nodes(node), name)


def parameters(function: ast.FunctionDef) -> list[str]:
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return [argument.arg for argument in named if argument and argument.arg not in ("self", "cls")]


def is_command(function: ast.FunctionDef) -> bool:
    """Whether click calls it, with a parameter for each option of the command line."""
    return any(
        ast.unparse(decorator).partition("(")[0].endswith(".command")
        for decorator in function.decorator_list
    )


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_there_is_no_import_cycle() -> None:
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


@pytest.mark.parametrize("root", LAYERS)
def test_every_package_has_its_floor(root: str) -> None:
    names = {package(module) for module in modules() if module.startswith(f"{root}.")}
    assert names == set(floors(root))


@pytest.mark.parametrize("root", LAYERS)
def test_packages_import_lower_floors_only(root: str) -> None:
    floor = floors(root)
    inside = [module for module in modules() if module.startswith(f"{root}.")]
    wrong = [
        f"{module} imports {target}"
        for module in inside
        for target in sorted(imports()[module])
        if target.startswith(f"{root}.")
        and package(target) != package(module)
        and floor[package(target)] <= floor[package(module)]
    ]
    assert not wrong, "\n".join(wrong)


def test_faces_give_only_what_lies_below_them() -> None:
    initial = {name for name, path in modules().items() if path.name == "__init__.py"}
    assert {
        name
        for name in initial
        if any(target.startswith(f"{name.partition('.')[0]}.") for target in imports()[name])
    } == FACES
    for face in FACES - ROOT_FACES:
        lower = floors("sdrt")[package(face)]
        for target in imports()[face]:
            assert target.startswith(f"{face}.") or floors("sdrt")[package(target)] > lower
    upward = [
        module
        for module, targets in imports().items()
        for face in ROOT_FACES
        if module.startswith(f"{face}.") and face in targets
    ]
    assert not upward, f"{upward} import the face of their own root"


def test_no_module_is_too_long() -> None:
    long = {name: lines(path) for name, path in modules().items() if lines(path) > MAX_LINES}
    assert not long


def test_no_test_file_is_too_long() -> None:
    files = {str(path.relative_to(ROOT)): lines(path) for path in (ROOT / "tests").rglob("*.py")}
    assert not {name: length for name, length in files.items() if length > MAX_LINES}


def test_no_function_is_too_long() -> None:
    long = {
        name: length
        for module in modules()
        for name, function in functions([tree(module)], module)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert not long


def test_no_function_takes_too_many_parameters() -> None:
    many = {
        name: len(parameters(function))
        for module in modules()
        for name, function in functions([tree(module)], module)
        if len(parameters(function)) > MAX_PARAMETERS and not is_command(function)
    }
    assert many.keys() == KEYWORD_FACES, many


def test_few_modules_are_splinters() -> None:
    small = [
        name
        for name, path in modules().items()
        if lines(path) < SMALL_LINES
        and path.name not in ("__init__.py", "__main__.py")
        and not name.startswith(f"{SCRIPTS}.")  # each is a program of its own
    ]
    assert len(small) <= MAX_SMALL, small
