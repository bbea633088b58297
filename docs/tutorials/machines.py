# %% [markdown]
# # Tutorial: several GPUs and machines
#
# You train the same network on one device, on two devices of one machine, and on two workers. All
# three start from the same weights and see the same faces in the same batches. It takes three
# minutes on two cores. You need no GPU: TensorFlow splits the processor into two logical devices, and
# both workers run on this machine.
# This page is a notebook kept as text (`docs/tutorials/machines.py`).

# %%
import csv
import json
import os
import socket
import subprocess
import sys

import tensorflow as tf
from matplotlib import pyplot

# Leave this out where you have GPUs. It comes before TensorFlow does anything else.
processor = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(processor, two)

import ran_tf  # noqa: E402

config = ran_tf.TrainConfig(
    data=ran_tf.DataConfig(
        image_size=(48, 48),
        train_split="train[:128]",
        validation_split="validation[:32]",
        regions=ran_tf.RegionConfig(k=3, kind="random"),
    ),
    model=ran_tf.ModelConfig(backbone="resnet18", size=(32, 32)),
    optimizer=ran_tf.OptimizerConfig(learning_rate=0.0001, ema=0.0),
    batch_size=32,
    epochs=3,
)

# %% [markdown]
# ## Several GPUs of one machine
#
# `ran_tf.train` and the command use all devices of the machine. There is no setting for it.
# `batch_size` is that of all devices together.

# %%
ran_tf.train(config, "two_devices")

# %% [markdown]
# Now the same on one of them.

# %%
ran_tf.train(config, "one_device", strategy=tf.distribute.OneDeviceStrategy("CPU:0"))

# %% [markdown]
# ## Several machines
#
# Start `train` or `evaluate` on every worker that `TF_CONFIG` names. Give the same flags everywhere,
# and a `--workdir` that all share. On the first of two hosts:
#
# ```sh
# export TF_CONFIG='{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]},
#                    "task": {"type": "worker", "index": 0}}'     # "index": 1 on the second
# python -m ran_tf.launch.train --flagfile=launch/quickstart.flags --workdir=/shared/run --restarts=5
# ```
#
# Here both are processes of this machine, at two free ports.

# %%
FLAGS = [
    *("--image_size=48", "--train_split=train[:128]", "--validation_split=validation[:32]"),
    *("--regions=random", "--num_regions=3", "--backbone=resnet18", "--region_size=32"),
    *("--learning_rate=0.0001", "--ema=0", "--batch_size=32", "--epochs=3"),
    "--workdir=two_workers",
]

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
for s in sockets:
    s.close()
workers = []
for index in range(2):
    task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    workers.append(
        subprocess.Popen(
            [sys.executable, "-m", "ran_tf.launch.train", *FLAGS],
            env={**os.environ, "TF_CONFIG": json.dumps(task)},
        )
    )
assert [worker.wait() for worker in workers] == [0, 0]

# %% [markdown]
# - Every batch holds the same faces, with the same augmentation, as on one device. Each replica takes
#   every n-th of them. Nothing is left out or counted twice. This holds for validation and
#   `evaluate`, too.
# - Only dropout differs from one device. With `--mixup`, so does which faces are blended.
# - Only the first worker writes and shows progress.
# - The dataset may lie on a shared disk or on each machine. Every worker must have the same devices.
#
# ## Compare them
#
# Each work directory has its `metrics.csv`, a row an epoch.

# %%
runs = {}
for name in ("one_device", "two_devices", "two_workers"):
    with open(f"{name}/metrics.csv") as file:
        runs[name] = [float(row["loss"]) for row in csv.DictReader(file)]
    print(f"{name:12}", [round(loss, 3) for loss in runs[name]])

figure, axes = pyplot.subplots(figsize=(6, 3), layout="constrained")
for (name, losses), style in zip(runs.items(), ("-", "--", ":"), strict=True):
    axes.plot(range(1, 1 + len(losses)), losses, style, label=name.replace("_", " "))
axes.set(xlabel="epoch", ylabel="training loss", xticks=range(1, 1 + config.epochs))
axes.legend()
figure.savefig("tutorial_devices.png", dpi=200)
pairs = zip(runs["two_devices"], runs["two_workers"], strict=True)
assert all(abs(devices - workers) < 0.01 for devices, workers in pairs)

# %% [markdown]
# ![The training loss of the three runs](../pictures/tutorial_devices.png)
#
# Two devices and two workers give the same losses. One device adds its numbers in another order, so
# sums differ in their last digits. The first loss still agrees within a millionth. The gradient of a
# ResNet-18 with random weights differs by a thousandth of a per cent at 32 pixels, and by 0.3 % at
# 64 pixels. It differs by as much on one device when the faces of the batch change places. Training
# then lets such differences grow, and a short run from random weights may part visibly. So compare
# several seeds, not single runs digit by digit.
#
# ## Batch normalisation
#
# Batch normalisation takes its statistics over the batch of all devices, as one device would. With
# `--sync_batch_norm=false` each device takes those of its own share, as the authors' code does. This
# is faster ([figures](../../experiments/README.md#scale)).
#
# ## When a worker is lost
#
# A worker may die, stop, or be out of reach. The others then end with one error and exit code 75
# (try again), some 10 to 20 seconds after its last sign of life. With `--restarts=N` each worker
# starts itself again, up to N times, after a lost worker or its own crash. It waits for the others
# (`--wait_for_workers=600` seconds) and goes on from the last checkpoint.
#
# SIGTERM to one worker stops all of them, with a checkpoint and exit code 143, within eight steps (or
# batches of validation). A worker that still waits for the others ends at once. Let a scheduler wait
# for eight steps before it kills.
#
# ## Slurm
#
# One worker a node:
#
# ```bash
# srun --ntasks-per-node=1 bash -c '
# hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed "s/.*/\"&:2222\"/" | paste -sd,)
# export TF_CONFIG="{\"cluster\": {\"worker\": [$hosts]}, \"task\": {\"type\": \"worker\", \"index\": $SLURM_PROCID}}"
# exec python -m ran_tf.launch.train --flagfile=recipe.flags --workdir=/shared/run --restarts=5'
# ```
#
# ## Kubernetes
#
# The TFJob of Kubeflow sets `TF_CONFIG` by itself (`Worker` replicas, no `PS`). Without Kubeflow use
# an Indexed Job (`completionMode: Indexed`, `completions: 2`, `parallelism: 2`, `subdomain: run` and
# a headless Service `run`). The names of its pods are known, here those of a Job `ran`:
#
# ```bash
# export TF_CONFIG="{\"cluster\": {\"worker\": [\"ran-0.run:2222\", \"ran-1.run:2222\"]}, \"task\": {\"type\": \"worker\", \"index\": $JOB_COMPLETION_INDEX}}"
# ```
#
# ## Before you start
#
# Workers talk to each other without encryption or passwords. Keep the ports inside the cluster. The
# lines for Slurm and Kubernetes were not run on such a cluster.
