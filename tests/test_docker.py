"""What docker/ runs is what the package has; the rest is checked by hadolint and by hand."""

import json
import pathlib
import re

import pytest
import yaml

import ran_tf
from ran_tf.launch import serve

ROOT = pathlib.Path(__file__).parents[1]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())


def entrypoint() -> list[str]:
    return json.loads(re.search(r"(?m)^ENTRYPOINT (.*)$", DOCKERFILE)[1])


def test_the_image_starts_the_server_with_flags_that_it_has(parse):
    command = entrypoint()
    assert command[:3] == ["python", "-m", "ran_tf.launch.serve"]
    more = COMPOSE["services"]["photos"]["command"]
    values = parse(*command[3:], *more, command=serve)
    assert values.photos and values.rest_port == 8501
    assert DOCKERFILE.count("/readyz") == 1


def test_the_image_is_built_with_an_export_where_the_server_looks():
    folder = re.search(r"ran_tf\.launch\.export .*--export_dir=(\S+)$", DOCKERFILE, re.M)[1]
    model = re.search(r"(?m)^ARG MODEL=(.*)$", DOCKERFILE)[1]
    assert f"--model_dir={folder}" in entrypoint()
    assert model in ran_tf.presets()
    assert model in COMPOSE["services"]["export"]["build"]["args"]["MODEL"]


def test_all_that_the_package_is_built_of_is_copied():
    kept = re.findall(r"(?m)^!(.*)$", (ROOT / "docker" / "Dockerfile.dockerignore").read_text())
    assert all((ROOT / name).exists() for name in kept)
    assert {"setup.cfg", "pyproject.toml", "README.md", "ran_tf", "tfds_builders"} <= set(kept)


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_services_listen_on_this_machine_alone(name):
    service = COMPOSE["services"][name]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert "ports" not in service or (service["read_only"] and service["cap_drop"] == ["ALL"])
