"""Who may import whom, and what must stay light. The picture of it is in the README."""

import ast
import graphlib
import pathlib
import subprocess
import sys

import pytest

import keras_deeplab

PACKAGE = pathlib.Path(keras_deeplab.__file__).parent
BACKENDS = {"keras", "keras_hub", "tensorflow", "jax", "torch"}

# Part of the package -> the other parts that it may import, for the parts that everything else rests on.
ARROWS = {
    "version": set(),
    "labels": set(),
    "memory": set(),
    "progress": set(),
    "ops": set(),
    "runs": set(),
    "segments": {"labels", "runs"},
    "data": {"labels", "memory", "progress", "runs", "segments"},
    "metrics": {"labels", "runs", "segments"},
    "visualization": {"labels", "segments"},
    "contact_sheet": {"labels", "visualization"},
    "results": {"labels", "segments", "visualization", "data"},
    "layers": {"ops"},
    "losses": {"labels", "ops"},
    "postprocessing": {"labels", "layers", "ops"},
    "hub.archive": set(),
    "hub.cache": set(),
    "hub.checkpoint_reader": set(),
    "hub.download": {"progress", "version"},
    "hub.registry": {"hub.cache", "hub.preset_table"},
    "hub.preset_files": set(),
    "hub.weights_file": set(),
    "hub.preset_folder": {"hub.preset_files", "hub.weights_file", "labels", "version"},
    "hub.preset_entry": {"labels"},
    # Which backbone a class can load is asked of the backbones, once there are some.
    "hub.preset_table": {
        *("backbones", "hub.cache", "hub.preset_entry", "hub.preset_files", "hub.registry", "labels"),
    },
    "backbones": {"hub.preset_folder", "hub.preset_table", "hub.registry", "layers", "ops"},
    "decoders": {"backbones", "layers", "ops"},
    "models": {
        *("backbones", "data", "decoders", "hub.preset_folder", "hub.preset_table", "hub.registry", "labels"),
        *("layers", "losses", "ops", "postprocessing", "progress", "results"),
    },
    "evaluation": {
        *("data", "labels", "memory", "metrics", "progress", "results", "segments", "version"),
        "visualization",
    },
    "training": {
        *("contact_sheet", "data", "evaluation", "hub.preset_table", "labels", "layers", "losses", "memory"),
        *("metrics", "models", "ops", "progress", "results", "segments", "version", "visualization"),
    },
}  # fmt: skip
NUMPY_ONLY = [
    *("labels", "memory", "progress", "segments", "runs", "data", "metrics", "results", "visualization"),
    "contact_sheet",
]


def part_of(module):
    """The key of `ARROWS` that a dotted module name inside the package belongs to, else its first word."""
    words = module.split(".")
    two = ".".join(words[:2])
    return two if two in ARROWS or words[0] == "hub" else words[0]


def imports(path, module_level_only=False):
    """Absolute names of the modules, or of names in modules, that a file imports."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if module_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.parent != PACKAGE or path.stem != "__init__"
}


def inner_imports(path, module_level_only=False):
    """Modules of the package that a file imports, as dotted names inside the package."""
    for name in imports(path, module_level_only):
        if name.startswith("keras_deeplab."):
            name = name.removeprefix("keras_deeplab.")
            yield name if name in MODULES else name.rpartition(".")[0] or name


@pytest.mark.parametrize("part", ARROWS)
def test_imports_point_the_way_of_the_picture(part):
    wrong = {
        f"{module} imports {other}"
        for module, path in MODULES.items()
        if part_of(module) == part
        for other in inner_imports(path)
        if part_of(other) not in {part, *ARROWS[part]}
    }
    assert wrong == set()


def test_every_part_in_the_table_exists():
    assert set(ARROWS) <= {part_of(module) for module in MODULES}


def test_modules_import_each_other_without_cycles():
    graph = {module: set(inner_imports(path, True)) - {module} for module, path in MODULES.items()}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert order.index("labels") < order.index("data.targets")


@pytest.mark.parametrize("part", NUMPY_ONLY)
def test_numpy_parts_never_name_a_backend(part):
    found = {
        f"{module} imports {name}"
        for module, path in MODULES.items()
        if part_of(module) == part
        for name in imports(path)
        if name.split(".")[0] in BACKENDS
    }
    assert found == set()


@pytest.mark.parametrize("part", NUMPY_ONLY)
def test_numpy_parts_load_no_backend(part):
    statements = "".join(f"import keras_deeplab.{m}; " for m in MODULES if part_of(m) == part)
    assert loaded_backends(statements) == set()


def test_the_package_loads_no_backend():
    assert loaded_backends("import keras_deeplab; dir(keras_deeplab)") == set()


def test_looking_at_recipes_loads_no_backend():
    assert (
        loaded_backends("import keras_deeplab; keras_deeplab.Recipe.load('small_data').num_batches") == set()
    )


def test_the_command_line_loads_no_backend_for_help():
    statement = "from keras_deeplab import cli\ntry:\n    cli.main(['--help'])\nexcept SystemExit:\n    pass"
    assert loaded_backends(statement) == set()


def loaded_backends(statements):
    """The backends that a fresh interpreter has loaded after it ran some statements."""
    report = f"\nimport sys; print('loaded', *({BACKENDS} & sys.modules.keys()))"
    process = subprocess.run(
        [sys.executable, "-c", statements + report], capture_output=True, text=True, cwd=PACKAGE.parent
    )
    assert process.returncode == 0, process.stderr
    return set(process.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("name", ["CITYSCAPES", "LabelSpace", "Segmentation", "evaluate", "data", "metrics"])
def test_public_names_without_backend_resolve(name):
    assert getattr(keras_deeplab, name) is not None


@pytest.mark.parametrize("name", ["PanopticDeepLab", "Segmenter", "MobileNetV3Backbone", "ResNetBackbone"])
def test_public_classes_resolve(name):
    assert getattr(keras_deeplab, name).__name__ == name


def test_public_list_is_what_dir_shows():
    assert dir(keras_deeplab) == sorted(keras_deeplab.__all__)


def test_public_names_of_data_are_no_modules():
    # Importing a module of that name would put the module in the place of the public name.
    assert not {f"data.{name}" for name in keras_deeplab.data.__all__} & MODULES.keys()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'PanopticDeeplab'"):
        _ = keras_deeplab.PanopticDeeplab
