"""The layers hold: who may import whom, where the heavy libraries live, and that `import regimes` stays light."""

import ast
import inspect
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import regimes

PACKAGE = Path(regimes.__file__).parent
DOCS = Path(__file__).parent.parent / "docs"
COMMANDS = "commands"
"""The one folder in it: a module for each command, `commands.NAME` below."""

# The one table of the architecture, module -> (layer, column), as in docs/architecture.md; a planned module has its
# row already. The rules that it stands for:
# - imports point to strictly lower layers, whether at the top of a module or inside a function;
# - shared modules of layer 0 may be imported by anyone above; modules of layer 0 import nothing of ours but `_checks`
#   and `display`, and these two import nothing of ours at all;
# - theory never imports experiment, nor the reverse; inference may import theory, never experiment;
# - shared modules above layer 0 are where the columns meet: only they may import from all of them, and no column
#   imports them;
# - `__init__` imports none of our modules: it loads the names of `__init__.pyi` on first use.
TABLE = {
    "_checks": (0, "shared"),
    "display": (0, "shared"),
    "_precision": (0, "shared"),
    "_tangents": (0, "shared"),
    "results": (0, "shared"),
    "factor": (0, "shared"),
    "files": (0, "shared"),
    "folders": (0, "shared"),
    "profiles": (0, "theory"),
    "spectrum": (1, "theory"),
    "domains": (1, "theory"),
    "frontiers": (1, "theory"),
    "spectra": (2, "theory"),
    "equivalents": (2, "theory"),
    "dimension": (2, "theory"),
    "asymptotics": (2, "theory"),
    "dynamics": (3, "theory"),
    "subsets": (3, "theory"),
    "differentiable": (3, "theory"),
    "theory": (4, "theory"),
    "optima": (5, "theory"),
    "phases": (5, "theory"),
    "nyquist": (5, "theory"),
    "sources": (6, "theory"),
    "breaks": (4, "theory"),
    "law": (1, "inference"),
    "curve_laws": (2, "inference"),
    "surface_laws": (2, "inference"),
    "tuned_law": (2, "inference"),
    "flow_law": (2, "inference"),
    "theory_law": (2, "inference"),
    "laws": (3, "inference"),
    "resolvents": (2, "inference"),
    "estimate": (3, "inference"),
    "readings": (4, "inference"),
    "forecast": (5, "inference"),
    "predict": (7, "shared"),
    "least_squares": (0, "shared"),
    "envelopes": (1, "inference"),
    "objectives": (2, "inference"),
    "intervals": (3, "inference"),
    "ranking": (5, "inference"),
    "plans": (5, "inference"),
    "fits": (4, "inference"),
    "regime_points": (5, "theory"),
    "listed": (6, "inference"),
    "evidence": (6, "inference"),
    "classify": (7, "inference"),
    "kernels": (1, "experiment"),
    "tasks": (1, "experiment"),
    "gram": (1, "experiment"),
    "soundness": (1, "experiment"),
    "pairwise": (2, "experiment"),
    "modes": (2, "experiment"),
    "inputs": (2, "experiment"),
    "ridge": (2, "experiment"),
    "networks": (2, "experiment"),
    "flows": (2, "experiment"),
    "cells": (1, "experiment"),
    "database": (1, "experiment"),
    "grids": (2, "experiment"),
    "records": (2, "experiment"),
    "jobs": (1, "experiment"),
    "clusters": (2, "experiment"),
    "workers": (3, "experiment"),
    "store": (3, "experiment"),
    "recovery": (4, "experiment"),
    "experiments": (4, "experiment"),
    "network_cells": (5, "experiment"),
    "sweep": (6, "experiment"),
    "measured": (6, "shared"),
    "doubts": (6, "shared"),
    "plots": (6, "shared"),
    "curves": (1, "inference"),
    "peaks": (1, "inference"),
    "curve_fits": (6, "inference"),
    "corners": (6, "inference"),
    "descent": (3, "experiment"),
    "runs": (3, "experiment"),
    "training": (4, "experiment"),
    "infinite": (4, "experiment"),
    "verify": (7, "shared"),
    "hestness": (5, "inference"),
    "learners": (7, "shared"),
    "network_plots": (7, "shared"),
    "network_variance": (8, "shared"),
    "tangent_kernels": (8, "shared"),
    "teacher_student": (8, "shared"),
    "aspect_ratio": (8, "shared"),
    "excesses": (5, "experiment"),
    "frozen": (7, "shared"),
    "teachers": (7, "shared"),
    "frozen_features": (8, "shared"),
    "task_changes": (8, "shared"),
    "characters": (0, "shared"),
    "pruned": (5, "experiment"),
    "work_plots": (7, "shared"),
    "panels": (7, "shared"),
    "panels_losses": (8, "shared"),
    "budgets": (7, "shared"),
    "overlays": (7, "shared"),
    "iso_loss": (8, "shared"),
    "bands": (7, "shared"),
    "joint_surfaces": (8, "shared"),
    "joint_law": (9, "shared"),
    "pruned_families": (8, "shared"),
    "pruning": (9, "shared"),
    "error_sources": (8, "shared"),
    "nyquist_learners": (8, "shared"),
    "model_growth": (8, "shared"),
    "scale_time": (9, "shared"),
    "phenomena": (8, "shared"),
    "sayings": (0, "shared"),
    "findings": (7, "shared"),
    "report": (8, "shared"),
    "explore": (8, "shared"),
    "explorer_page": (9, "shared"),
    "repeats": (10, "shared"),
    "commands.console": (10, "shared"),
    "commands.tables": (10, "shared"),
    "commands": (11, "shared"),
    "commands.network": (12, "shared"),
    "commands.reproduce": (12, "shared"),
    "cli": (13, "shared"),
    "__main__": (14, "shared"),
}
EVERYWHERE = ("_checks", "display")
COLUMNS = {  # column -> the columns that it may import from
    "shared": {"shared", "theory", "inference", "experiment"},
    "theory": {"shared", "theory"},
    "inference": {"shared", "theory", "inference"},
    "experiment": {"shared", "experiment"},
}
HOMES = {  # heavy library -> the modules that may import it, None for all
    "neural_tangents": {"_tangents"},
    "matplotlib": {"plots", "panels", "network_plots", "work_plots"},
    "typer": {"cli", "commands"},
    "rich": {"cli", "commands", "kernels"},
    "sklearn": {"tasks", "files", "pairwise"},
    "pandas": None,  # anywhere, in the function that needs it
    "dask": {"gram", "clusters"},
    "distributed": {"gram", "clusters"},
    "optax": {"descent"},
    "jinja2": {"report"},
    "bokeh": {"explorer_page"},
    "skdim": {"dimension"},
    "tensorflow": set(),
    "torch": set(),
}
AT_THE_TOP = {(library, home) for library in ("typer", "rich") for home in ("cli", COMMANDS)} | {
    ("pandas", "verify"),
    ("pandas", "predict"),
}
"""Who may import a heavy library at the top of the module; all others do so inside the function that needs it."""

MODULES = {path.stem: path for path in sorted(PACKAGE.glob("*.py"))} | {
    f"{COMMANDS}.{path.stem}": path for path in sorted((PACKAGE / COMMANDS).glob("*.py")) if path.stem != "__init__"
}
NAMED = [name for name in MODULES if name != "__init__"]
HEAVY = ("jax", "matplotlib", "neural_tangents", "tensorflow", "torch", "pandas", "scipy", "sklearn", "rich", "typer")


def imported(source, package="regimes"):
    """Every import of a module's text, as (dotted name, whether it runs when the module is imported)."""
    found = []

    def walk(node, at_top):
        if isinstance(node, ast.Import):
            found.extend((alias.name, at_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(part for part in (package if node.level else "", node.module) if part)
            # `from regimes import x` names a module; `from regimes.results import x` something in one.
            folder = base in (package, f"{package}.{COMMANDS}")
            found.extend((f"{base}.{alias.name}" if folder else base, at_top) for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                walk(child, False)
            for child in node.orelse:
                walk(child, at_top)
            return
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            walk(child, at_top and not inside)

    walk(ast.parse(source), True)
    return found


def ours(name):
    """Which of our modules the module `name` imports."""
    found = imported(MODULES[name].read_text(encoding="utf-8"))
    inside = [full.split(".")[1:] or ["__init__"] for full, _ in found if full.split(".")[0] == "regimes"]
    return sorted({".".join(parts[: 2 if parts[0] == COMMANDS else 1]) for parts in inside})


def row(name):
    if name.startswith(f"{COMMANDS}.") and name not in TABLE:
        name = COMMANDS  # all commands have one row, what they share has its own
    assert name in TABLE, f"regimes/{name}.py has no row in TABLE: add its layer and column in {Path(__file__).name}"
    return TABLE[name]


def broken_rule(importer, target):
    """What is wrong with `importer` importing `target`, or None."""
    (layer, column), (below, other) = row(importer), row(target)
    if importer in EVERYWHERE:
        return f"{importer} imports nothing of ours"
    if layer == 0:
        return None if target in EVERYWHERE else "a module of layer 0 imports nothing of ours but _checks and display"
    if below >= layer:
        return f"an import goes from layer {layer} to layer {below}"
    if other not in COLUMNS[column]:
        return f"{column} imports {other}"
    if other == "shared" and below > 0 and column != "shared":
        return f"{column} imports a shared module above layer 0"
    return None


@pytest.mark.parametrize("name", NAMED)
def test_module_has_a_row_in_the_table(name):
    row(name)


@pytest.mark.parametrize("name", NAMED)
def test_module_imports_only_what_lies_below_it(name):
    broken = {target: broken_rule(name, target) for target in ours(name)}
    assert not {target: rule for target, rule in broken.items() if rule}


@pytest.mark.parametrize(
    ("importer", "target", "words"),
    [
        ("_checks", "factor", "nothing of ours"),
        ("profiles", "results", "but _checks"),
        ("results", "_precision", "but _checks"),
        ("equivalents", "theory", "layer 2 to layer 4"),
        ("tasks", "kernels", "layer 1 to layer 1"),
        ("theory", "kernels", "theory imports experiment"),
        ("ridge", "spectrum", "experiment imports theory"),
        ("classify", "ridge", "inference imports experiment"),
        ("equivalents", "spectra", "layer 2 to layer 2"),
        ("networks", "spectrum", "experiment imports theory"),
        ("fits", "ridge", "inference imports experiment"),
        ("theory", "no_such_module", None),
    ],
)
def test_rules_refuse_what_they_should(importer, target, words):
    if words is None:
        with pytest.raises(AssertionError, match="add its layer and column"):
            broken_rule(importer, target)
    else:
        assert words in broken_rule(importer, target)


@pytest.mark.parametrize(
    ("importer", "target"),
    [("factor", "_checks"), ("spectra", "_checks"), ("theory", "results"), ("fits", "dimension"), ("verify", "ridge")],
)
def test_rules_allow_what_they_should(importer, target):
    assert broken_rule(importer, target) is None


def test_imports_are_found_in_every_form_and_place():
    source = """
import regimes.a, scipy.linalg
from regimes import b
from regimes.c import thing
from . import d
from .e import thing
if TYPE_CHECKING:
    import g
def f():
    from regimes import h
class C:
    import i
    def method(self):
        import j.k
try:
    import l
except ImportError:
    pass
"""
    top = ["regimes.a", "scipy.linalg", "regimes.b", "regimes.c", "regimes.d", "regimes.e", "i", "l"]
    later = ["g", "regimes.h", "j.k"]
    assert sorted(imported(source)) == sorted([(name, True) for name in top] + [(name, False) for name in later])


@pytest.mark.parametrize("name", MODULES)
def test_heavy_libraries_are_imported_only_in_their_homes(name):
    for full, at_top in imported(MODULES[name].read_text(encoding="utf-8")):
        library = full.partition(".")[0]
        home = COMMANDS if name.startswith(f"{COMMANDS}.") else name
        homes = HOMES.get(library)
        assert homes is None or home in homes, f"{name} imports {library}, whose home is {homes}"
        if library in HOMES and (library, home) not in AT_THE_TOP:
            assert not at_top, f"{name} imports {library} at its top: import it in the function that needs it"


@pytest.mark.parametrize("name", MODULES)
def test_jax_is_imported_only_inside_functions(name):
    assert not [
        full for full, top in imported(MODULES[name].read_text(encoding="utf-8")) if top and full.split(".")[0] == "jax"
    ]


def test_init_imports_none_of_our_modules():
    assert ours("__init__") == []


@pytest.mark.parametrize("name", MODULES)
def test_module_is_at_most_600_lines_long_and_has_a_docstring(name):
    source = MODULES[name].read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 600, "ask what second subject it holds"
    assert ast.get_docstring(ast.parse(source))


@pytest.mark.parametrize("name", MODULES)
def test_module_is_named_after_its_subject(name):
    assert name.strip("_") not in {"utils", "util", "helpers", "helper", "core", "misc", "common"}


def test_package_is_flat_but_for_its_commands():
    assert [path.name for path in PACKAGE.iterdir() if path.is_dir() and list(path.glob("**/*.py"))] == [COMMANDS]


CHILD = """
import json, sys, time
start = time.perf_counter()
import regimes
print(json.dumps([time.perf_counter() - start, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def test_import_regimes_is_quick_and_loads_no_heavy_library():
    runs = [
        json.loads(subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert sorted(set(HEAVY) & set(runs[0][1])) == []
    assert min(seconds for seconds, _ in runs) < 0.5


def public_names():
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return [alias.asname or alias.name for node in imports for alias in node.names]


def test_stub_lists_public_names():
    assert {"Spectrum", "theory", "kernels"} <= set(public_names())


@pytest.mark.parametrize("name", public_names())
def test_public_name_resolves_is_listed_and_is_documented(name):
    value = getattr(regimes, name)
    assert name in dir(regimes)
    assert inspect.getdoc(value)


@pytest.mark.parametrize("name", NAMED)
def test_public_functions_and_classes_of_the_module_have_docstrings(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    members = [
        member
        for node in defined
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        for member in node.body
        if isinstance(member, ast.FunctionDef)
    ]
    public = [node for node in defined + members if not node.name.startswith("_")]
    assert [node.name for node in public if not ast.get_docstring(node)] == []


def test_docs_show_the_table():
    found = runpy.run_path(str(DOCS / "layers.py"))
    modules = found["modules"]()
    assert found["markdown"](modules) in (DOCS / "architecture.md").read_text(encoding="utf-8"), "run docs/layers.py"
    assert found["drawing"](modules) == (DOCS / "layers.svg").read_text(encoding="utf-8"), "run docs/layers.py"
