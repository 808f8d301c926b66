"""What a run of a sweep is for."""

TRIAL, SHORTLIST, CONFIRM = "trial", "shortlist", "confirm"
ROLES = (TRIAL, SHORTLIST, CONFIRM)
