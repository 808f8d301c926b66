"""Tuning: the same number of trials for every combination, judged on held-out people, then confirmed on fresh seeds."""
