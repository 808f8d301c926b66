"""Cases: photos of an unknown person searched for in a gallery, with a folder and a log for each search."""

from pathlib import Path

CASES = Path("cases")  # where searches are kept, unless the user names another folder
