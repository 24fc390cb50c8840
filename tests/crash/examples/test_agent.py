"""The agent of the examples, with a server that speaks the protocol of models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from tests.crash.examples.places import apply

KEY = "a-key-that-nobody-may-see"
ASKS = {
    "role": "assistant",
    "content": None,
    "refusal": None,
    "tool_calls": [
        {
            "id": f"call-{n}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for n, (name, arguments) in enumerate(
            [
                ("way", {"start": "Valley", "end": "Raven"}),
                ("way", {"start": "Raven", "end": "Nowhere"}),
                ("fly", {}),
                ("add", {"numbers": "all"}),
            ]
        )
    ],
}
ANSWERS = {"role": "assistant", "content": "11.9 km."}


class Model(ThreadingHTTPServer):
    """A server that is overloaded at first, asks for tools, and answers when it was told what they found."""

    def __init__(self, always: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.always = always
        """A status with which it answers everything; 0: it does what a model does."""
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}/v1"


class Asked(BaseHTTPRequestHandler):
    """One question."""

    server: Model

    def do_POST(self) -> None:
        """Answer it."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append({**asked, "path": self.path})
        self.server.keys.append(self.headers["Authorization"])
        if self.server.always or len(self.server.asked) == 1:
            self.send_response(self.server.always or 429)
            self.end_headers()
            return
        message = ANSWERS if asked["messages"][-1]["role"] == "tool" else ASKS
        self.send_response(200)
        self.end_headers()
        said = {"choices": [{"message": message}], "usage": {"total_tokens": 100}}
        self.wfile.write(json.dumps(said).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    """A model's server, named in the environment."""
    with Model() as server:
        for name, value in {"URL": server.url, "NAME": "some", "KEY": KEY}.items():
            monkeypatch.setenv(f"MODEL_{name}", value)
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_model_is_told_what_its_tools_found(model, tmp_path):
    """An overloaded one is asked again; what was asked for wrongly is told; all that it cost is counted."""
    said = apply("agent", cwd=tmp_path)

    assert said.code == 3, said.err
    state = said.document["state"]
    assert (state["answer"], state["tokens"]) == ("11.9 km.", 200)
    overloaded, first, second = model.asked
    assert overloaded == first
    assert (first["path"], first["model"]) == ("/v1/chat/completions", "some")
    assert [tool["function"]["name"] for tool in first["tools"]] == ["way", "add"]
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", *["tool"] * 4]
    found = {one["tool_call_id"]: json.loads(one["content"]) for one in second["messages"][2:]}
    assert found["call-0"] == {"km": 11.9, "climb": 1050}
    assert [list(found[f"call-{n}"]) for n in (1, 2, 3)] == [["error"]] * 3


def test_the_key_of_a_model_goes_to_the_model_alone(model, tmp_path):
    """It is in no output, no state and no file of the store."""
    said = apply("agent", cwd=tmp_path)

    assert set(model.keys) == {f"Bearer {KEY}"}
    assert KEY not in said.out + said.err
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_model_that_refuses_fails_the_run_with_its_words(model, tmp_path):
    """What no second try will mend is not tried again."""
    model.always = 401

    said = apply("agent", cwd=tmp_path)

    assert said.code == 1
    assert "the model's server answered 401" in said.out + said.err
    assert len(model.asked) == 1
