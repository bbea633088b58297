"""Every public name has an example in its docstring, which runs, and types."""

import doctest
import inspect
import re

import keras
import numpy as np
import pytest
from tensorflow_datasets.core import constants

import ran_tf
from ran_tf import registry

# Tables, which have no docstring.
EXAMPLES = [name for name in ran_tf.__all__ if callable(getattr(ran_tf, name))]


@pytest.mark.parametrize(
    "name",
    [  # These two train: what they call is trained with by other tests, on a smaller network.
        pytest.param(name, marks=pytest.mark.large if name in ("ablate", "train") else [])
        for name in EXAMPLES
    ],
)
def test_the_example_runs(name, synthetic_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DATA_DIR", synthetic_dir)
    monkeypatch.chdir(tmp_path)
    for kept in vars(registry).values():
        if isinstance(kept, registry.Registry):
            # What an example registers is forgotten.
            monkeypatch.setattr(kept, "_theirs", dict(kept._theirs))
    text = getattr(ran_tf, name).__doc__
    assert "\n    Example:\n" in text, "a section that ends the docstring, after Raises"
    example = text.partition("\n    Example:\n")[2]
    names = {"ran_tf": ran_tf, "np": np, "keras": keras}
    test = doctest.DocTestParser().get_doctest(example, names, name, None, None)
    assert test.examples
    said = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


def functions_of(thing):
    """A function; of a class its constructor and its public methods, as far as they are its own."""
    if not inspect.isclass(thing):
        return [thing]
    plain = [getattr(x, "fget", None) or getattr(x, "__func__", x) for x in vars(thing).values()]
    public = re.compile(r"__init__|__call__|[a-z]\w*")
    return [x for x in plain if inspect.isfunction(x) and public.fullmatch(x.__name__)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_arguments_and_results_have_types(name):
    for function in functions_of(getattr(ran_tf, name)):
        signature = inspect.signature(function)
        assert signature.return_annotation is not signature.empty, function
        for argument in signature.parameters.values():
            typed = argument.annotation is not argument.empty
            assert typed or argument.name in ("self", "cls"), (function, argument.name)
