"""Rules that need more than one field: CEL that the API server checks at every write.

A rule refuses nothing that the models accept; what it cannot see, or may not spend the time on, becomes
`Accepted=False`. It saves people the way through a condition, and it alone knows what a spec was before.

What a rule may cost is judged twice: by an estimate from the limits in the schema when the definition is
applied (10 million for a rule, 100 million for all), and as counted when it runs (1 million for a rule, about
a tenth of a second, 10 million for all). Every write pays, that of a status too: so each rule here grows with
the size of the spec, and none compares all steps with all steps. Names in `needs`, `next`, `catch` and `goto`
are therefore not looked up here.

Only CEL that every supported server knows: no optional values, no bindings.
Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from dataclasses import dataclass

from cairn_runtime.model.outline import KINDS, WAITS

REASON = "FieldValueForbidden"
"""It prints the message alone; the others put `Invalid value: "object"` before it."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule at one place of the schema."""

    at: str
    """Path of the schema that `self` is: `` for the object, `spec.steps[]`, `spec.state.channels`."""
    rule: str
    message: str
    """What is wrong and what to do, in one line."""
    field: str = ""
    """Path from there to the field that is to blame, `.foreach`; empty: the place itself."""
    details: str = ""
    """CEL for what follows the message, where that depends on what was written."""

    def written(self) -> dict[str, str]:
        """Write it as the definition holds it."""
        out = {"rule": self.rule, "message": self.message, "reason": REASON}
        if self.field:
            out["fieldPath"] = self.field
        if self.details:
            out["messageExpression"] = f"'{self.message}' + {self.details}"
        return out


# -- what may change ----------------------------------------------------------------------------------------

RUN_FIELDS = ("steps", "state", "code", "codeFrom", "image", "input", "store")
"""What a run is made of: they change only together with a new nonce, which makes a new run."""

_STATUS_WRITE = "has(self.status) && (!has(oldSelf.status) || self.status != oldSelf.status)"
"""A write that changes the status cannot change the spec, and the other way round: the server sees to it.

So the comparison, which takes a tenth of a second for 500 steps, is left out of every write of a status.
"""
_NO_RUN = "!has(oldSelf.status) || !has(oldSelf.status.run) || oldSelf.status.run == ''"
_NEW_NONCE = (
    "has(self.spec.resume)"
    " && (!has(oldSelf.spec.resume) || self.spec.resume.nonce != oldSelf.spec.resume.nonce)"
)


def _unchanged(field: str) -> str:
    if field == "steps":
        return "self.spec.steps == oldSelf.spec.steps"
    new, old = f"self.spec.{field}", f"oldSelf.spec.{field}"
    return f"has({new}) == has({old}) && (!has({new}) || {new} == {old})"


_ALL_UNCHANGED = " && ".join(f"({_unchanged(field)})" for field in RUN_FIELDS)
_CHANGED = " + ".join(f"({_unchanged(field)} ? '' : ' {field}')" for field in RUN_FIELDS)

_NEW_RUN_FOR_A_NEW_SPEC = Rule(
    "",
    f"({_STATUS_WRITE}) || {_NO_RUN} || ({_NEW_NONCE}) || ({_ALL_UNCHANGED})",
    "what a run is made of cannot change once it has begun; to start a new run, set spec.resume.nonce in the"
    " same change to a text not used before, and spec.resume.checkpoint to where it starts (latest, start, or"
    " an id); changed here:",
    field=".spec",
    details=_CHANGED,
)
_RESUME_WITH_ITS_NONCE = Rule(
    "",
    f"!has(self.spec.resume) || {_NO_RUN} || ({_NEW_NONCE}) || self.spec.resume == oldSelf.spec.resume",
    "resume changes only together with its nonce, and each nonce is served once; to fork again, set"
    " spec.resume.nonce in the same change to a text not used before",
    field=".spec.resume",
)

# -- what fits together -------------------------------------------------------------------------------------

_KINDS = ", ".join(f"has(self.{kind})" for kind in KINDS)
_A_WAIT = " || ".join(f"has(self.{kind})" for kind in KINDS if kind in WAITS)


def _resume_names_steps(field: str) -> Rule:
    names = f"self.resume.{field}"
    return Rule(
        "spec",
        f"!has(self.resume) || !has({names})"
        f" || [self.steps.map(s, s.name)].all(known, {names}.all(n, n in known))",
        f"resume.{field} names a step that spec.steps does not have",
        field=f".resume.{field}",
    )


WORKFLOW_RULES: tuple[Rule, ...] = (
    _NEW_RUN_FOR_A_NEW_SPEC,
    _RESUME_WITH_ITS_NONCE,
    Rule(
        "spec.steps[]",
        f"[{_KINDS}].filter(k, k).size() == 1",
        f"a step has exactly one of {', '.join(KINDS)}",
    ),
    Rule(
        "spec.steps[]",
        f"!has(self.foreach) || !({_A_WAIT})",
        "a step that waits cannot go through a list; loop with next, or park inside a python step",
        field=".foreach",
    ),
    Rule(
        "spec.steps[]",
        "!has(self.goto) || size(self.goto) == 0 || has(self.python)",
        "only a python step can call ctx.goto; give the step python, or use next",
        field=".goto",
    ),
    Rule(
        "spec.steps[]",
        "!has(self.needs) || !(self.name in self.needs)",
        "a step cannot need itself; a loop is made with next",
        field=".needs",
    ),
    Rule(
        "spec.steps[].next",
        "self.filter(n, has(n.otherwise) && n.otherwise).size() <= 1",
        "a second otherwise; it fires exactly if no other entry does, so at most one entry has it",
    ),
    Rule(
        "spec.steps[].next",
        "self.all(n, !has(n.when) || !has(n.otherwise) || !n.otherwise)",
        "an entry has when and otherwise; otherwise fires exactly if no other entry does",
    ),
    Rule(
        "spec",
        "!has(self.codeFrom) || !has(self.code) || size(self.code) == 0",
        "code comes from spec.code too; use one of them",
        field=".codeFrom",
    ),
    Rule(
        "spec.state.channels",
        "!('error' in self)",
        'the channel "error" is where Cairn puts what a catch sees; use another name',
    ),
    Rule(
        "spec.checkpoint",
        "!has(self.interval) || (has(self.policy) && self.policy == 'Interval')",
        "interval is used with policy Interval only; set policy: Interval, or drop it",
        field=".interval",
    ),
    Rule(
        "spec",
        "!has(self.resume) || !has(self.resume.asStep) || self.steps.exists(s, s.name == self.resume.asStep)",
        "resume.asStep names a step that spec.steps does not have",
        field=".resume.asStep",
    ),
    _resume_names_steps("steps"),
    _resume_names_steps("skip"),
    Rule(
        "spec.resume",
        "!has(self.skip) || !has(self.steps) || !self.skip.exists(s, s in self.steps)",
        "a step is in steps and in skip; start it or skip it",
        field=".skip",
    ),
)

CHECKPOINT_RULES: tuple[Rule, ...] = (
    Rule(
        "spec",
        "self == oldSelf",
        "a Checkpoint is never changed; to pin it, annotate it with cairn.dev/pin=true; to go back to it, set"
        " spec.resume of its Workflow",
    ),
)
