"""Every file and folder of a run directory, and of the folder that holds them: its name, who writes it, what it holds.

The table in docs/architecture.md is checked against the descriptions here. No torch here.
"""

from __future__ import annotations

CONFIG = "config.json"
META = "meta.json"
QUEUED = "queued.json"
PROCESS = "process.json"
EXIT = "exit.json"
CLAIM = "claim.lock"
EVENTS = "events.jsonl"
LOG = "trainer.log"
ENVIRONMENT = "environment.json"
CHECKPOINTS = "checkpoints"
EVALUATION = "evaluation"
EVALUATIONS = "evaluations"
SWEEP = "sweep.json"
PRUNED = "pruned.json"

# name -> (written by, holds)
RUN_DIRECTORY = {
    CONFIG: ("manager, once", "the whole resolved configuration (`engine.contract.config.RunConfig`)"),
    META: ("manager", "what a user entered: `name`, `tags`, `note`, `archived`, and `created`"),
    SWEEP: (
        "manager, once",
        "for a run of a sweep: `sweep` (its number), `role` (`trial`, `shortlist` or `confirm`), `combo`, `trial`, "
        "`fold`, `seed`, and the sampled `values`",
    ),
    PRUNED: (
        "keeper, once",
        "for a trial that was stopped early: `t`, `epoch`, `value`, the `median` of `count` trials of its combination",
    ),
    QUEUED: (
        "manager, shim",
        "while the run is queued: `t`, `priority`, `place` in the queue, `resume`, `gpus`, `parallel`, `visible` "
        "(CUDA_VISIBLE_DEVICES) and `on`: `here` or `slurm`",
    ),
    PROCESS: (
        "shim",
        "the latest attempt: `t`, `host`, `boot_id`, `shim` and `trainer` (pids) with their start times, `device`, "
        "`events` (size of the event log at its start), `slurm` (its Slurm task), `stopping` and `asked` (when a "
        "stop was requested)",
    ),
    EXIT: ("shim", "`t` and the trainer's exit `status`, negative for a signal; absent during an attempt"),
    CLAIM: ("shim", "an flock, held while a shim or its trainer lives"),
    EVENTS: ("trainer", "the events, one JSON object per line; append-only"),
    LOG: ("shim", "the output of the trainer"),
    ENVIRONMENT: ("trainer", "versions, commit, host, device"),
    CHECKPOINTS: ("trainer", "one folder per checkpoint; no pickled objects"),
    EVALUATION: ("trainer", "the final test: features, ranks and average precisions of each trial, summary"),
    EVALUATIONS: ("`evaluate`", "the same, one folder per additional data set that the model was tested on"),
}

# In `checkpoints`
BEST = "best"
LAST = "last"
PREVIOUS = "previous"
BEST_CHECKPOINT = f"{CHECKPOINTS}/{BEST}"
LAST_CHECKPOINT = f"{CHECKPOINTS}/{LAST}"
UNFINISHED = ".tmp"  # suffix of a checkpoint that is being written
REPLACED = ".old"  # suffix of a checkpoint that is being replaced

# A finished run can do without these.
RESUME_FOLDERS = (LAST, PREVIOUS, *(f"{name}{suffix}" for name in (LAST, BEST) for suffix in (UNFINISHED, REPLACED)))

CHECKPOINT_FOLDERS = {
    BEST: ("trainer", "the best model by validation, without optimizer state"),
    LAST: ("trainer", "the state to resume from, with the best model so far; removed when the run finishes"),
    PREVIOUS: ("trainer", "the one before `last`, in case `last` is damaged"),
}

MODEL = "model.safetensors"
OPTIMIZER = "optimizer.pt"
PROGRESS = "state.json"
BEST_MODEL = "best.safetensors"
MANIFEST = "manifest.json"

CHECKPOINT = {
    MODEL: ("trainer", "the weights"),
    OPTIMIZER: ("trainer", "optimizer states, tensors only"),
    PROGRESS: ("trainer", "step, epoch, random states, model name"),
    BEST_MODEL: ("trainer", "in `last`: a hard link to the weights of `best`"),
    MANIFEST: ("trainer", "a hash of every other file"),
}

# Where a folder given as weights may hold them, the first that is there
WEIGHTS_FOLDERS = (BEST_CHECKPOINT, BEST, LAST_CHECKPOINT, ".")

FEATURES = "features.safetensors"
IMAGES = "images.json"
TRIALS = "trials.safetensors"
SUMMARY = "summary.json"
EVIDENCE = "evidence.json"

EVALUATION_FOLDER = {
    FEATURES: ("trainer", "`features` (images x dimensions) and `identity` of each test image"),
    IMAGES: ("trainer", "`root` of the data set and the paths of the test images in it"),
    TRIALS: ("trainer", "for each trial: queries, gallery, ranks of the true matches, average precision"),
    SUMMARY: ("trainer", "the metrics, averaged over the trials, and the protocol settings"),
    EVIDENCE: ("`evidence`", "the likelihood-ratio calibrator, its bounds, hashes of its people, its measures"),
}

# In the folder of runs
SEQUENCE = ".sequence"
RUNS_LOCK = ".lock"
NEW_PREFIX = ".new-"
QUEUE_LOCK = ".queue.lock"
SUPERVISOR_LOCK = ".supervisor.lock"
SUPERVISOR_LOG = ".supervisor.log"
CPU_LOCK = ".cpu.lock"
SLURM = ".slurm"
SWEEPS = ".sweeps"
TRASH = ".trash"

# In `.slurm`
SQUEUE = "squeue.json"
SLURM_LOCK = ".lock"
SLURM_JOB = ".json"  # suffix of the file of a job, after its number
SLURM_OUTPUT = ".out"  # suffix of its output, likewise

SLURM_FOLDER = {
    f"JOB{SLURM_JOB}": (
        "manager",
        "`t`, `cluster`, `user` (a uid), and `runs`: the array index of each open run",
    ),
    f"JOB{SLURM_OUTPUT}": ("Slurm", "the output of tasks before they became the shim of their run"),
    SQUEUE: ("manager", "the latest output of `squeue`"),
    SLURM_LOCK: ("manager", "an flock, held by whoever submits, stops or queries"),
}

RUNS_FOLDER = {
    SEQUENCE: ("manager", "the highest run number assigned, so that none is used twice"),
    RUNS_LOCK: ("manager", "an flock, held while runs are made or their `meta.json` is edited"),
    f"{NEW_PREFIX}*": ("manager", "a run directory that is being made"),
    TRASH: ("manager", "deleted run directories, until they are restored or purged; 30 days at most"),
    QUEUE_LOCK: ("manager", "an flock, held while the queue is changed"),
    SUPERVISOR_LOCK: ("supervisor", "an flock, held by the one process that starts queued runs"),
    SUPERVISOR_LOG: ("supervisor", "the output of the supervisor"),
    CPU_LOCK: ("shim", "an flock, held by the run that trains on the CPU"),
    SLURM: ("manager", "the jobs submitted to Slurm"),
    SWEEPS: ("manager, keeper", "the sweeps: the request and all planned points of each"),
}
