"""A clock of the test's, and photos that wait by it."""

import pytest

from ran_tf.demo import uploads


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def waiting(clock):
    return uploads.Uploads("/nowhere", max_bytes=2**20, clock=clock)
