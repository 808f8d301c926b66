"""`python -m engine.start FILE RECIPE SHARE/SHARES`: a helper process of `hands.draw_hands`."""

import json
import sys
from pathlib import Path

from engine.contract.start import StartRecipe
from engine.start.hands import draw_share

file, fields, part = sys.argv[1:]
share, shares = map(int, part.split("/"))
draw_share(Path(file), StartRecipe.of(json.loads(fields)), share, shares, lambda done: None)
