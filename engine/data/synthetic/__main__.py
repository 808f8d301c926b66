"""`python -m engine.data.synthetic FOLDER PLAN SHARE/SHARES`: a helper process of `folder.write`."""

import json
import sys
from pathlib import Path

from engine.data.synthetic.folder import Plan, draw_share

folder, fields, part = sys.argv[1:]
share, shares = map(int, part.split("/"))
fields = json.loads(fields)
draw_share(Path(folder), Plan(**fields | {"aspects": tuple(fields["aspects"])}), share, shares)
