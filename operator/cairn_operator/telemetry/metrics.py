"""The operator's numbers, for Prometheus.

Labels are few and constant words (kinds, phases, reasons, actions, names of stores); no Workflow and no run.
What can be looked up when it is asked for (depths, ages, phases) is looked up then.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cairn_operator.reconcile.act import Refusal
from cairn_operator.reconcile.checking import Room
from cairn_operator.reconcile.checks import last_word
from cairn_operator.reconcile.state import CreateRun, Plan, StartRunner, World
from cairn_operator.reconcile.workqueue import Key
from cairn_operator.telemetry.sums import RunSums
from cairn_runtime.errors import EXIT_SUPERSEDED

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PHASES = ("Pending", "Running", "Waiting", "Suspended", "Succeeded", "Failed", "Cancelled")
disable_created_metrics()  # type: ignore[no-untyped-call]
_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0)


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is looked up when the numbers are asked for."""

    queue_depth: Callable[[], int]
    watch_ages: Callable[[], Mapping[str, float]]
    watch_restarts: Callable[[], int]
    active: Callable[[], bool]
    open_stores: Callable[[], Mapping[str, bool]]
    lost_stores: Callable[[], AbstractSet[str]]
    """Those that did not answer when they were asked last."""
    rooms: Callable[[], Mapping[str, Room]]
    """How fast and how full each store is, as it said at last."""
    api_writes: Callable[[], Mapping[tuple[str, str], int]]
    """Writes to the API server so far, by kind and verb."""


class Metrics:
    """All numbers of one process."""

    def __init__(self, gauges: Gauges) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=False)
        self._gauges = gauges
        self._phases: dict[Key, str] = {}
        self._sums = RunSums()
        self._passes = Histogram(
            "cairn_pass_seconds", "How long passes took.", registry=registry, buckets=_BUCKETS
        )
        self._failures = Counter(
            "cairn_pass_failures", "Passes that are repeated, by reason.", ["reason"], registry=registry
        )
        self._actions = Counter(
            "cairn_actions", "Actions of passes, by what they do.", ["action"], registry=registry
        )
        self._resumes = Counter("cairn_resumes", "Runs made by spec.resume.", registry=registry)
        self._attempts = Counter(
            "cairn_run_attempts", "Runners started again in a run that had one before.", registry=registry
        )
        self._fenced = Counter(
            "cairn_fenced_writes",
            "Writes refused because somebody else holds the run.",
            ["by"],
            registry=registry,
        )
        self._fenced_pods: dict[Key, set[str]] = {}
        """Uids of the pods that are there and whose runner was fenced: each is counted once."""
        self._store_errors = Counter(
            "cairn_store_errors", "Passes that a store did not serve.", ["store", "reason"], registry=registry
        )
        registry.register(_LookedUp(gauges, self._phases, self._sums))

    def count_pass(self, key: Key, world: World, plan: Plan, refusal: Refusal, seconds: float) -> None:
        """Count a pass that was made."""
        self._passes.observe(seconds)
        self._phases[key] = str(plan.status.get("phase", "Pending"))
        for action in plan.actions:
            self._actions.labels(type(action).__name__).inc()
            if isinstance(action, CreateRun) and world.manifest is not None and world.manifest.spec.resume:
                self._resumes.inc()
            if isinstance(action, StartRunner) and action.expected_epoch > 0:
                self._attempts.inc()
        if refusal.fenced:
            self._fenced.labels("operator").inc()
        self._count_fenced(key, world)
        if world.store_error is not None:
            # A store that there is not is named by whoever writes a Workflow, and may have any name.
            name = world.store if world.store in self._gauges.open_stores() else ""
            self._store_errors.labels(name, world.store_error[0]).inc()
        else:
            self._sums.see(key, world.store, world.run)

    def count_end(self, key: Key, reason: str) -> None:
        """Count a pass that is repeated, or forget a Workflow that is `Gone`."""
        if reason == "Gone":
            self._phases.pop(key, None)
            self._fenced_pods.pop(key, None)
            self._sums.forget(key)
        else:
            self._failures.labels(reason).inc()

    def off_duty(self) -> None:
        """Somebody else may be active from now on: what was seen of Workflows counts no more."""
        self._phases.clear()
        self._sums.forget_all()

    def _count_fenced(self, key: Key, world: World) -> None:
        """Count runners that the store refused: a process that came back, a node that was thought lost."""
        fenced = {
            pod.uid
            for pod in world.pods
            if pod.ended is not None and pod.ended.code == EXIT_SUPERSEDED and last_word(pod.ended)
        }
        before = self._fenced_pods.pop(key, set())
        if fenced:
            self._fenced_pods[key] = fenced
            self._fenced.labels("runner").inc(len(fenced - before))

    def text(self) -> bytes:
        """All numbers as Prometheus reads them."""
        return generate_latest(self.registry)


@dataclass(frozen=True, slots=True, eq=False)
class _LookedUp(Collector):
    """What is asked for only when somebody asks."""

    gauges: Gauges
    phases: Mapping[Key, str]
    sums: RunSums

    def collect(self) -> Iterator[Metric]:
        """Look everything up."""
        yield GaugeMetricFamily(
            "cairn_queue_depth", "Workflows that are due to be looked at.", self.gauges.queue_depth()
        )
        yield GaugeMetricFamily(
            "cairn_active", "Whether this operator holds the Lease.", float(self.gauges.active())
        )
        yield GaugeMetricFamily(
            "cairn_watch_restarts", "How often the watches began again.", self.gauges.watch_restarts()
        )
        yield _by("kind", "cairn_watch_age_seconds", "How long ago a watch was last proved to live.",
                  self.gauges.watch_ages())  # fmt: skip
        yield _by("store", "cairn_store_open", "Whether a store could be opened.",
                  {name: float(is_open) for name, is_open in self.gauges.open_stores().items()})  # fmt: skip
        yield from self._of_stores()
        writes = CounterMetricFamily("cairn_api_writes", "Writes to the API server.", labels=["kind", "verb"])
        for (kind, verb), number in sorted(self.gauges.api_writes().items()):
            writes.add_metric([kind, verb], number)
        yield writes
        tally = Tally(self.phases.values())
        yield _by("phase", "cairn_runs", "Workflows by the phase of their current run.",
                  {phase: float(tally[phase]) for phase in PHASES})  # fmt: skip
        yield from self.sums.families(self.gauges.open_stores())

    def _of_stores(self) -> Iterator[Metric]:
        """How the stores are, as whoever is active sees them; what nobody knows is left out."""
        if not self.gauges.active():
            return
        lost, rooms = self.gauges.lost_stores(), self.gauges.rooms()
        yield _by("store", "cairn_store_up", "Whether a store answered when it was asked last.",
                  {name: float(is_open and name not in lost)
                   for name, is_open in self.gauges.open_stores().items()})  # fmt: skip
        yield _by("store", "cairn_store_latency_seconds", "How long a store took to answer a question.",
                  {name: room.latency_seconds for name, room in rooms.items()})  # fmt: skip
        used = {name: room.used_bytes for name, room in rooms.items() if room.used_bytes is not None}
        yield _by("store", "cairn_store_used_bytes", "What a store holds.", used)
        free = {name: room.free_bytes for name, room in rooms.items() if room.free_bytes is not None}
        yield _by("store", "cairn_store_free_bytes", "What a store has room for yet.", free)


def _by(label: str, name: str, text: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in sorted(values.items()):
        family.add_metric([value], number)
    return family
