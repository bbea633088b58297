"""Two workers in network namespaces of their own, with a cable and a switch between them."""

import os
import shutil
import subprocess
import time

import pytest

from tests.fixtures.worker_runs import assert_same, start, train_alone

ADDRESSES = ("10.231.7.1", "10.231.7.2")


def ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


class Network:
    """Two machines, 0 and 1, at `ADDRESSES`, on one switch; each is a network namespace."""

    def __init__(self):
        self._switch, *self.machines = (f"ran{os.getpid()}{name}" for name in ("s", "a", "b"))
        for name in (self._switch, *self.machines):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", self._switch, "link", "add", "switch", "type", "bridge")
        ip("-n", self._switch, "link", "set", "switch", "up")
        for index, name in enumerate(self.machines):
            ip(
                *("-n", self._switch, "link", "add", f"port{index}", "type", "veth"),
                *("peer", "name", "cable", "netns", name),
            )
            ip("-n", name, "addr", "add", f"{ADDRESSES[index]}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
            ip("-n", self._switch, "link", "set", f"port{index}", "up")
            self.set_port(index, works=True)

    def set_cable(self, index: int, *, plugged: bool) -> None:
        """Out: that machine knows at once that it has no link, the other hears nothing."""
        ip("-n", self.machines[index], "link", "set", "cable", "up" if plugged else "down")

    def set_port(self, index: int, *, works: bool) -> None:
        """A port that does not work swallows everything: neither machine is told."""
        master = ("master", "switch") if works else ("nomaster",)
        ip("-n", self._switch, "link", "set", f"port{index}", *master)

    def set_link(self, how: str, *, works: bool) -> None:
        """Of machine 1, by its cable or by its port of the switch."""
        if how == "cable":
            self.set_cable(1, plugged=works)
        else:
            self.set_port(1, works=works)

    def start(self, workdir, data_dir, *flags):
        return start(
            2,
            workdir,
            data_dir,
            *flags,
            addresses=[f"{address}:2222" for address in ADDRESSES],
            prefixes=[("ip", "netns", "exec", name) for name in self.machines],
        )

    def remove(self) -> None:
        for name in (self._switch, *self.machines):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.fixture
def network():
    if shutil.which("ip") is None:
        pytest.skip("needs the command `ip` (iproute2)")
    made = Network.__new__(Network)
    try:
        made.__init__()
    except OSError as error:
        made.remove()
        pytest.skip(f"needs network namespaces, for which one must be root: {error}")
    yield made
    made.remove()


@pytest.mark.large
def test_two_machines_are_one_run(network, tmp_path, synthetic_dir):
    with network.start(tmp_path / "two", synthetic_dir) as both:
        train_alone(tmp_path / "one", synthetic_dir)
        assert both.wait(seconds=300) == [0, 0], both.log(0) + both.log(1)
    assert_same(tmp_path / "one", tmp_path / "two", atol=1e-5)


@pytest.mark.large
@pytest.mark.parametrize("how", ["cable", "switch"])
def test_without_a_network_all_end_in_bounded_time(network, tmp_path, synthetic_dir, how):
    flags = ("--epochs=200", "--checkpoint_seconds=0")
    with network.start(tmp_path / "run", synthetic_dir, *flags) as both:
        both.wait_for_checkpoint()
        network.set_link(how, works=False)
        cut, ended = time.monotonic(), {}
        while len(ended) < 2 and time.monotonic() - cut < 120:
            for index, process in enumerate(both.processes):
                if index not in ended and process.poll() is not None:
                    ended[index] = time.monotonic() - cut
            time.sleep(0.1)
        codes = [process.poll() for process in both.processes]
    print(f"{how}: ended after {ended}")
    assert codes == [75, 75]
    for index in (0, 1):
        assert both.log(index).count("error: a worker was lost") == 1
        assert "Traceback" not in both.log(index)
    assert max(ended.values()) < 60


@pytest.mark.large
@pytest.mark.parametrize("how", ["cable", "switch"])
def test_with_restarts_the_run_goes_on_when_the_network_does(network, tmp_path, synthetic_dir, how):
    flags = ("--epochs=6", "--checkpoint_seconds=0", "--restarts=5")
    with network.start(tmp_path / "two", synthetic_dir, *flags) as both:
        both.wait_for_checkpoint()
        network.set_link(how, works=False)
        for index in (0, 1):
            both.wait_until(lambda i=index: "starting it again" in both.log(i), "a new start")
        network.set_link(how, works=True)
        mended = time.monotonic()
        train_alone(tmp_path / "one", synthetic_dir, epochs=6)
        assert both.wait(seconds=300) == [0, 0], both.log(0) + both.log(1)
    print(f"{how}: the end came {time.monotonic() - mended:.1f} seconds after the network")
    assert "resumed at step" in both.log(0)
    assert_same(tmp_path / "one", tmp_path / "two", atol=1e-4)
