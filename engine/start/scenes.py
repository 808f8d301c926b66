"""Scenes of hard photos: a wider range of poses, distances, lights and backgrounds than those of the demo."""

from __future__ import annotations

import numpy as np

from engine.data.synthetic.scene import REST, Scene


def hard_scene(rng: np.random.Generator) -> Scene:
    """A scene that shares nothing with others of the same hand: fingers closed or spread, any light and sleeve."""
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.4)
    grey = rng.uniform(0.97, 1.0) if rng.random() < 0.6 else rng.uniform(0.75, 0.97)
    return Scene(
        rotation=np.radians(rng.normal(0, 8)),
        scale=rng.uniform(0.68, 0.92),
        position=np.array([0, 0.08]) + rng.uniform(-0.05, 0.05, 2),
        fingers=REST * rng.uniform(0.0, 1.5) + rng.normal(0, 0.045, 4),
        bend=1 - np.abs(rng.normal(0, 0.03, (4, 3))) - abs(rng.normal(0, 0.02)),
        curl=rng.normal(0, 0.03, 4),
        thumb=rng.uniform(0.2, 0.75) + np.array([0.18, -0.05, -0.12]) + rng.normal(0, 0.06, 3),
        light=np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)]),
        contrast=rng.uniform(0.1, 0.5),
        exposure=np.ones(3),  # `views` changes the colours
        background=np.clip(grey * (1 + rng.normal(0, 0.02, 3)), 0, 1),
        gradient=rng.normal(0, 0.04, 2),
        shadow=rng.uniform(0, 0.5),
        shadow_offset=rng.uniform(0.5, 8),
        sleeve=rng.uniform(-30, 6) if rng.random() < 0.3 else None,
        sleeve_colour=rng.uniform(0.05, 0.9) * rng.uniform(0.6, 1, 3),
        blur=rng.uniform(0, 0.8),
        noise=rng.uniform(0.0, 0.02),
        grain_seed=int(rng.integers(2**31)),
    )
