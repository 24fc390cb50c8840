"""The witness: a server in a test's namespace which steps tell that they begin; it can hold them there.

It runs in a pod, on the standard library alone, and imports nothing of the tests.

    POST /begun      a step says so; the answer comes when nobody holds its task (any more)
    POST /hold       {"tasks": [...]}: from now on these tasks get no answer
    POST /release    {"tasks": [...]}: they go on; [] are all
    GET  /begun      all that was said: {task, epoch, run, at}; ?count=N&seconds=S waits for N, &task=T of T
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PORT = 8080
changed = threading.Condition()
begun = []
held = set()


class Witness(BaseHTTPRequestHandler):
    """One request; each has a thread of its own."""

    def do_POST(self):
        """Note what was said, and answer when it is time."""
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with changed:
            if self.path == "/begun":
                begun.append({**said, "at": time.time()})
                changed.notify_all()
                changed.wait_for(lambda: said["task"] not in held)
            elif self.path == "/hold":
                held.update(said["tasks"])
            elif self.path == "/release":
                held.difference_update(said["tasks"] or tuple(held))
                changed.notify_all()
        self.answer({})

    def do_GET(self):
        """Tell what was said, perhaps only when enough was."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        task, count = asked.get("task"), int(asked.get("count", 0))

        def enough():
            return sum(task in (None, said["task"]) for said in begun) >= count

        with changed:
            changed.wait_for(enough, timeout=float(asked.get("seconds", 0)))
            self.answer([*begun])

    def answer(self, document):
        """Send JSON; whoever asked may have died meanwhile."""
        try:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())
        except OSError:
            return

    def log_message(self, *_):
        """Say nothing: what was said is the answer to a question."""


if __name__ == "__main__":
    ThreadingHTTPServer.request_queue_size = 128  # many steps may begin at once
    ThreadingHTTPServer(("", PORT), Witness).serve_forever()
