"""Searches of people in galleries, with numpy alone: the trainer and the manager compute the same figures."""
