"""A step as a program of its own: it reads the state from one file and writes JSON to another.

Nothing of Cairn is imported; a Go or Rust program would do the same.
"""

import json
import os
from pathlib import Path

state = json.loads(Path(os.environ["CAIRN_STATE"]).read_text(encoding="utf-8"))
greeting = f"Hello, {state['name']}! Here are {state['words']} words on {state['lines']} lines."
Path(os.environ["CAIRN_OUTPUT"]).write_text(json.dumps({"greeting": greeting}), encoding="utf-8")
print(greeting)
