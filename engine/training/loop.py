"""The training of one run, top to bottom: a config.json in, events, checkpoints and a report out."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.contract import run_files
from engine.contract.config import RunConfig
from engine.contract.events import (
    CheckpointWritten,
    EpochDone,
    EvaluationDone,
    EventWriter,
    RunEnded,
    RunStarted,
    TrainerMessage,
)
from engine.contract.start import is_start
from engine.contract.weights import recorded_model
from engine.data.cache_dir import cache_folder
from engine.data.same_split import read_begun
from engine.evaluation.evaluate import Report, extract, images_of, pixel_features, run_trials, write_evaluation
from engine.evaluation.geometry import geometry
from engine.machine.device import open_device
from engine.machine.environment import describe_environment
from engine.machine.parallel import join_workers
from engine.machine.randomness import derived_seed
from engine.model.towers import complete_record
from engine.start.cached import Stopped, ensure_start
from engine.training.checkpoint import Checkpoint, load_newest
from engine.training.checkpoint_writer import CheckpointWriter
from engine.training.ema import AveragedWeights
from engine.training.meter import Meter
from engine.training.progress import TrainingProgress
from engine.training.prompt_learning import learn_prompts, prompt_steps
from engine.training.schedule import rate_factor
from engine.training.setup import ResumedRun, TrainingSetup, prepare
from engine.training.stopping import StopRequest


def train(run: Path, config: RunConfig, events: EventWriter, stop: StopRequest) -> str:
    """Train until the end or until asked to stop; returns "finished" or "stopped".

    Continues from the newest good checkpoint of `run` if there is one, with the same result, bit for bit on a CPU, as
    without the interruption. Raises UserError, LossNotFinite, or torch's out-of-memory error.
    """
    checkpoints = run / run_files.CHECKPOINTS
    workers = join_workers()
    checkpoint = load_newest(checkpoints)
    if not checkpoint and is_start(config.model.pretrained):
        try:
            device, report = open_device(config), partial(_tell, events)
            ensure_start(config.model.pretrained, cache_folder(), device, report, lambda: stop.requested)
        except Stopped:
            return "stopped"
    setup = prepare(config, _decoding(events), _earlier(run, config, checkpoint) if checkpoint else None)
    workers.check(config.train.ids_per_batch * config.train.images_per_id)
    progress = TrainingProgress.of(checkpoint) if checkpoint else TrainingProgress()
    if checkpoint:
        setup.restore(checkpoint)
    best = checkpoint.best if checkpoint else {}
    if not best:  # none yet, or a checkpoint that does not hold it: from here on
        progress.best_mAP, progress.best_epoch, progress.best_step = -1.0, 0, progress.step
    steps_per_epoch, epochs = setup.sampler.steps_per_epoch, config.train.epochs
    if workers.main:
        _announce(run, setup, events, workers.size, progress if checkpoint else None)
    if workers.main and not checkpoint and config.evaluation.test:
        progress.pixels = _evaluate(setup, events, "pixels", 0).metrics
        progress.before = _evaluate(setup, events, "before", 0).metrics
    writer = CheckpointWriter(checkpoints, events)
    if not learn_prompts(setup, progress, checkpoint, workers, writer, stop):
        return "stopped"

    averaged = AveragedWeights(config.train.ema, setup.weights())
    averaged.load_state(checkpoint.weights if checkpoint else {})
    meter = Meter(events, list(config.loss), config.train.ids_per_batch * config.train.images_per_id, steps_per_epoch)
    meter.restore(progress.loss_sums, progress.loss_count)
    encode = workers.wrap(setup.model.encoder, config.train.compile)
    saved = time.monotonic()
    started = saved - progress.seconds
    setup.model.train()

    for step in range(progress.step, epochs * steps_per_epoch):
        factor = rate_factor(config.train, step, steps_per_epoch)
        setup.optimizers.set_rates(factor)
        images, target = setup.batch(step)
        torch.manual_seed(derived_seed(config.seed, "dropout", step))  # of towers that have one inside
        with setup.device.precision():
            aspects = setup.aspects_of(target)
            encoded = encode(workers.share(images), None if aspects is None else workers.share(aspects))
        features = setup.model.through_necks(workers.gather(encoded))
        loss = setup.objective(features, target)
        loss.total.backward()
        setup.objective.unscale_own()
        setup.optimizers.step(config.train.clip_norm)
        averaged.update()
        if workers.main:
            meter.add(step, loss, config.train.lr * factor)
        progress.step = step + 1

        stopping = workers.agree(stop.requested, step, setup.device.torch)
        if progress.step % steps_per_epoch == 0 and workers.main:
            meter.flush()
            epoch = progress.step // steps_per_epoch
            if epoch % config.evaluation.every == 0 or epoch == epochs:
                with averaged.in_place():
                    validation = _validate(setup, events, meter, progress.step, epoch)
                if not validation < progress.best_mAP:  # a later epoch wins a tie, and where nothing can be compared
                    best = {name: value.clone() for name, value in averaged.values.items()}
                    progress.best_mAP, progress.best_epoch, progress.best_step = validation, epoch, progress.step
            meter.restart()
        due = progress.step == steps_per_epoch or time.monotonic() - saved > config.train.checkpoint_every
        if workers.main and (stopping or due):
            meter.flush()
            progress.seconds = time.monotonic() - started
            progress.loss_sums, progress.loss_count = meter.sums, meter.count
            _save(writer, setup, averaged, progress, best)
            saved = time.monotonic()
        writer.look()
        if stopping and progress.step < epochs * steps_per_epoch:
            writer.wait()
            return "stopped"

    progress.seconds = time.monotonic() - started
    if not workers.main:
        return "finished"
    if best:
        setup.load_weights(best)
    _finish(run, setup, events, progress, writer)
    return "finished"


def _earlier(run: Path, config: RunConfig, checkpoint: Checkpoint) -> ResumedRun:
    """What a resumed run must find again. Of older checkpoints `best` alone says what model it is."""
    record = checkpoint.state.get("model") or recorded_model(run / run_files.BEST_CHECKPOINT / run_files.MODEL)
    learnt = bool(checkpoint.state.get("prompts_learnt"))
    return ResumedRun(run.name, read_begun(run / run_files.EVENTS), complete_record(config.model, record), learnt)


def _validate(setup: TrainingSetup, events: EventWriter, meter: Meter, step: int, epoch: int) -> float:
    """Validation on train identities after an epoch: events with metrics and geometry; returns mAP."""
    began = time.monotonic()
    report = _evaluate(setup, events, "validation", step, epoch)
    shape = geometry(report.features, report.identity)
    seconds = round(began - meter.epoch_began, 3)
    events.write(EpochDone(step, epoch, seconds, geometry=shape, means=meter.means()))
    with suppress(OSError):  # a full disk may hold the log
        metrics = report.metrics
        print(f"epoch {epoch}: validation rank-1 {metrics['rank1']:.3f} mAP {metrics['mAP']:.3f}", flush=True)
    return report.metrics["mAP"]


def _evaluate(setup: TrainingSetup, events: EventWriter, stage: str, step: int, epoch: int = 0) -> Report:
    """Rank the validation or the test trials, and write the event."""
    validation = stage == "validation"
    trials = setup.validation if validation else setup.split.trials
    images = images_of(trials)
    pixels = setup.images[torch.tensor(images, device=setup.images.device)]
    if stage == "pixels":
        features = pixel_features(pixels).cpu()
    else:
        identities = [setup.split.images[image].identity for image in images]
        features = extract(setup.model, pixels, setup.augmentation, setup.device, setup.config.evaluation, identities)
    report = run_trials(setup.split, trials, features, setup.config.evaluation.rerank and not validation)
    metrics = dict(report.metrics)
    unmatched = metrics.pop("queries_without_match")
    where = "val" if validation else "test"
    events.write(EvaluationDone(step, epoch, where, stage, len(trials), unmatched, metrics))
    return report


def _finish(
    run: Path, setup: TrainingSetup, events: EventWriter, progress: TrainingProgress, writer: CheckpointWriter
) -> None:
    """The final report on the test people, unless they are not to be read; the weights and the end of the events."""
    best = writer.save_final(setup.checkpoint(setup.weights(), progress.best_step))
    seconds = round(progress.prompt_seconds + progress.seconds, 3)
    summary: dict[str, Any] = {"best_epoch": progress.best_epoch, "seconds": seconds}
    if progress.best_mAP >= 0:
        summary["validation_mAP"] = progress.best_mAP
    if setup.config.evaluation.test:
        report = _evaluate(setup, events, "final", progress.best_step, progress.best_epoch)
        shape = geometry(report.features, report.identity)
        summary = report.metrics | summary | {"before": progress.before, "pixels": progress.pixels, "geometry": shape}
        if setup.config.evaluation.rerank:
            summary["rerank"] = True
        write_evaluation(run / run_files.EVALUATION, setup.split, report, summary)
    best.result()
    events.write(CheckpointWritten(progress.best_step, progress.best_epoch, run_files.BEST_CHECKPOINT, best=True))
    for leftover in (run_files.LAST, run_files.PREVIOUS):  # only an unfinished run needs them
        shutil.rmtree(writer.folder / leftover, ignore_errors=True)
    events.write(RunEnded("finished", summary=summary))


def _save(
    writer: CheckpointWriter,
    setup: TrainingSetup,
    averaged: AveragedWeights,
    progress: TrainingProgress,
    best: dict[str, Tensor],
) -> None:
    """Begin to write what a resumed run needs: the state after this step, and the best weights so far."""
    weights = setup.weights() | averaged.state()
    last = Checkpoint(weights, asdict(progress) | {"model": setup.record}, setup.optimizers.state())
    kept = setup.checkpoint(best, progress.best_step) if best else None
    writer.save(last, kept, epoch=progress.step // setup.sampler.steps_per_epoch)


def _announce(
    run: Path, setup: TrainingSetup, events: EventWriter, world_size: int, resumed: TrainingProgress | None
) -> None:
    config, split, device = setup.config, setup.split, setup.device
    environment = describe_environment(device)
    (run / run_files.ENVIRONMENT).write_text(json.dumps(environment, indent=2) + "\n")
    started = RunStarted(
        pid=os.getpid(),
        host=socket.gethostname(),
        device=str(device.torch),
        device_name=device.name,
        compute=environment["compute"],
        threads=environment["threads"],
        world_size=world_size,
        combo=config.combo,
        epochs=config.train.epochs,
        steps=config.train.epochs * setup.sampler.steps_per_epoch,
        dataset=split.root.name if config.data.source != "synthetic" else "synthetic",
        format=split.format,
        subset=split.subset,
        gallery=split.gallery,
        fingerprint=split.fingerprint,
        found=split.found,
        model=config.model.name,
        pretrained=config.model.pretrained,
        image_size=setup.model.image_size,
        parameters=sum(weight.numel() for weight in setup.model.encoder.parameters()),
        train_images=len(split.train),
        train_identities=len(split.classes),
        test_identities=len({split.images[image].identity for image in split.test}),
        prompt_epochs=config.prompts.epochs if setup.prompts else None,
        prompt_steps=prompt_steps(setup) if setup.prompts else None,
        prompts_from=resumed.prompt_step if resumed and setup.prompts else None,
        resumed_from=resumed.step if resumed else None,
    )
    events.write(started)
    for warning in split.warnings:
        events.write(TrainerMessage("warning", warning))
    for note in setup.notes:
        events.write(TrainerMessage("info", note))


def _tell(events: EventWriter, text: str) -> None:
    events.write(TrainerMessage("info", text))
    with suppress(OSError):
        print(text, flush=True)  # for the log in Live


def _decoding(events: EventWriter) -> Any:
    """Reports the decoding of a new data set about once a second."""
    reported = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal reported
        if time.monotonic() - reported > 1:
            reported = time.monotonic()
            events.write(TrainerMessage("info", f"Decoding images: {done} of {total}"))

    return report
