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
# `ran_tf.train` and the command use all devices of the machine by themselves. `batch_size` is the
# size of the batch on all devices together.

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
# and a `--workdir` that all workers share. On the first of two hosts:
#
# ```sh
# export TF_CONFIG='{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]},
#                    "task": {"type": "worker", "index": 0}}'     # "index": 1 on the second
# python -m ran_tf.launch.train --flagfile=launch/quickstart.flags --workdir=/shared/run --restarts=5
# ```
#
# On this page both workers are processes of one machine, at two free ports.

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
# What to know about several devices or workers:
#
# - Every batch has the same faces, with the same augmentation, as on one device. Each of n replicas
#   takes every n-th face, so none is left out or counted twice. Validation and `evaluate` work in
#   the same way.
# - Two things differ from one device: dropout, and with `--mixup` the faces that are blended.
# - Only the first worker writes files and shows progress.
# - The dataset may be on a shared disk or on each machine. All workers must have the same devices.
#
# ## Compare the runs
#
# Each work directory has a `metrics.csv` with a row for each epoch.

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
# Two devices and two workers give the same losses. One device adds the same numbers in another
# order, so its sums differ in the last digits. The first loss still agrees within a millionth, but
# training lets such differences grow, and a short run from random weights may drift apart visibly.
# So compare several seeds, and not single runs digit by digit.
#
# How large are the differences at the start? The gradient of a ResNet-18 with random weights differs
# by a thousandth of a per cent at 32 pixels, and by 0.3 % at 64 pixels. It differs by as much on a
# single device if the faces of the batch change places.
#
# ## Batch normalisation
#
# Batch normalisation computes its statistics over the batch of all devices, as one device would.
# With `--sync_batch_norm=false` each device uses the statistics of its own share, like the authors'
# code. This is faster ([figures](../../experiments/README.md#scale)).
#
# ## When a worker is lost
#
# If a worker dies, stops or cannot be reached, the others end 10 to 20 seconds after its last sign
# of life, with one error and exit code 75 (try again). With `--restarts=N` each worker then starts
# itself again, up to N times, also after its own crash. It waits for the others
# (`--wait_for_workers=600` seconds) and goes on from the last checkpoint.
#
# SIGTERM to one worker stops all of them within eight steps (or batches of validation), with a
# checkpoint and exit code 143. A worker that still waits for the others ends at once. So a scheduler
# should wait for eight steps before it kills a worker.
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
# a headless Service `run`). The names of its pods are known in advance. For a Job called `ran`:
#
# ```bash
# export TF_CONFIG="{\"cluster\": {\"worker\": [\"ran-0.run:2222\", \"ran-1.run:2222\"]}, \"task\": {\"type\": \"worker\", \"index\": $JOB_COMPLETION_INDEX}}"
# ```
#
# ## Before you start
#
# Workers talk to each other without encryption or passwords, so keep their ports inside the cluster.
# The lines for Slurm and Kubernetes were not run on such a cluster.
