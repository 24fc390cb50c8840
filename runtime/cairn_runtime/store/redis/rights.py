"""What the user of a store must be allowed to do on a Redis server, and the ACL rule that allows it.

Every command that this package or its scripts send stands here, in the groups in which people give rights; a
test holds the list against the code.
The server is asked about all of them in one script that calls none (`rights.lua`, since Redis 7): asking by
`ACL DRYRUN` takes a right that only administrators have.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from cairn_runtime.store.base import Concern
from cairn_runtime.store.redis.keys import PARTS, Keys
from cairn_runtime.store.redis.nodes import Node
from cairn_runtime.store.redis.replies import Refusal, command
from cairn_runtime.store.redis.scripts import source

_GROUPS: dict[str, tuple[str, ...]] = {
    "@read": (
        "HEXISTS KEY f", "HGET KEY f", "HGETALL KEY", "HKEYS KEY", "HLEN KEY", "HMGET KEY f", "HSTRLEN KEY f",
        "HVALS KEY", "SCAN 0", "SISMEMBER KEY m", "SMEMBERS KEY", "XLEN KEY", "XRANGE KEY - +",
        "XREVRANGE KEY + -", "ZREVRANGEBYSCORE KEY 1 0", "ZSCAN KEY 0", "ZSCORE KEY m",
    ),
    "@write": (
        "HDEL KEY f", "HSET KEY f v", "HSETNX KEY f v", "PERSIST KEY", "PEXPIREAT KEY 1", "SADD KEY m",
        "SREM KEY m", "UNLINK KEY", "XADD KEY 1-0 f v", "XDEL KEY 1-0", "ZADD KEY 0 m", "ZREM KEY m",
    ),
    "@scripting": ("EVAL s 0", "EVALSHA s 0"),
    "@connection": ("WAITAOF 1 0 1",),
    "time": ("TIME",),
}  # fmt: skip
"""Without one of these calls fail; KEY stands for one of the store's. What a connection begins with is not
here: without that the store is not opened, and the server's answer names it."""
_CLUSTERED: dict[str, tuple[str, ...]] = {"@connection": ("ASKING",), "cluster|slots": ("CLUSTER SLOTS",)}
_HELPFUL = {
    "INFO": ("info", "it cannot be seen how full the server is"),
    "CONFIG GET x": ("config|get", "it cannot be seen how often the server syncs its append-only file"),
    "ROLE": ("role", "that the server has become a replica is noticed at the first write only"),
}
"""Without these less is seen."""
NOBODY = "default"
"""Who is spoken with as without a login."""
_ANY_RUN = "00000000-0000-0000-0000-000000000000"


def needed(*, clustered: bool = False) -> list[tuple[str, str]]:
    """All (group, command with arguments) without which calls fail."""
    groups = [_GROUPS, *([_CLUSTERED] if clustered else [])]
    return [(group, call) for one in groups for group, calls in one.items() for call in calls]


async def rights(node: Node, keys: Keys, user: str, *, clustered: bool) -> list[Concern]:
    """Ask a server what the user lacks; a warning where the server cannot be asked."""
    names = _names(keys)
    wanted = needed(clustered=clustered)
    # A script's own keys are judged as every script's are: read and written.
    calls = [["EVAL", "s", "1", name] for name in names]
    calls += [[names[0] if word == "KEY" else word for word in call.split(" ")] for _, call in wanted]
    calls += [call.split(" ") for call in _HELPFUL]
    (reply,) = await node.ask("read", command("EVAL", source("rights"), 0, orjson.dumps(calls)), 1)
    if isinstance(reply, Refusal):
        return [_lacking(user, ["EVAL"], ["+@scripting"])] if reply.code == "NOPERM" else []
    if reply is None:
        return unasked(user)
    return judged(user, names, wanted, {number - 1 for number in reply})


def unasked(user: str) -> list[Concern]:
    """What is said where the server cannot tell; the user that is there without a login may do everything."""
    if user == NOBODY:
        return []
    text = f"what the user {user} may not do cannot be seen before Redis 7"
    return [Concern(False, text, f"compare ACL GETUSER {user} with docs/howto/use-redis.md")]


def judged(
    user: str, names: Sequence[str], wanted: Sequence[tuple[str, str]], refused: set[int]
) -> list[Concern]:
    """What the refused calls mean: keys first, then what is needed, then what helps."""
    closed = [name for n, name in enumerate(names) if n in refused]
    if closed:
        # Whatever reads or writes a key is refused with it: commands are judged once the keys are open.
        text = f"the user may not read and write keys such as {closed[0]}"
        return [Concern(True, text, f"ACL SETUSER {user} ~{_prefix(names)}*")]
    first = len(names)
    lacking = [one for n, one in enumerate(wanted, first) if n in refused]
    found: list[Concern] = []
    if lacking:
        found.append(_lacking(user, [_command(call) for _, call in lacking], _rules(lacking, wanted)))
    for n, (call, (rule, text)) in enumerate(_HELPFUL.items(), first + len(wanted)):
        if n in refused:
            words = f"the user may not call {_command(call)}: {text}"
            found.append(Concern(False, words, f"ACL SETUSER {user} +{rule}"))
    return found


def _names(keys: Keys) -> list[str]:
    """A key of each form; the first is a run's row."""
    run = keys.of(_ANY_RUN)
    own = [getattr(run, part) for part in PARTS]
    return [name.decode() for name in (*own, keys.runs, keys.store, keys.audit)]


def _prefix(names: Sequence[str]) -> str:
    return names[0].partition("{")[0]


def _lacking(user: str, commands: Iterable[str], rules: Iterable[str]) -> Concern:
    text = f"the user may not call {', '.join(commands)}"
    return Concern(True, text, f"ACL SETUSER {user} {' '.join(rules)}")


def _rules(lacking: Sequence[tuple[str, str]], wanted: Sequence[tuple[str, str]]) -> list[str]:
    """The fewest rules that allow what is lacking: a whole group where all of it is."""
    rules: dict[str, None] = {}
    for group, call in lacking:
        whole = all((one, other) in lacking for one, other in wanted if one == group)
        rules[f"+{group}" if whole else f"+{_command(call).lower().replace(' ', '|')}"] = None
    return list(rules)


def _command(call: str) -> str:
    """The command of a call, with its second word where it has one."""
    first, *rest = call.split(" ")
    return f"{first} {rest[0]}" if first in ("CLUSTER", "CONFIG") else first
