"""Every public name has an example in its docstring, and it runs."""

import doctest
import pathlib

import keras
import numpy as np
import pytest
from tensorflow_datasets.core import constants

import ran_tf
from ran_tf import registry

# Tables, which have no docstring.
EXAMPLES = [name for name in ran_tf.__all__ if callable(getattr(ran_tf, name))]


@pytest.mark.parametrize("name", EXAMPLES)
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


def test_type_checkers_may_believe_the_annotations():
    assert (pathlib.Path(ran_tf.__file__).parent / "py.typed").is_file()
