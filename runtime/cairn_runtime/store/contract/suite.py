"""All test classes and options of the contract, to be imported with `*` by the module that tests a store."""

from __future__ import annotations

from cairn_runtime.store.contract.annotations import TestAnnotations, TestHeads
from cairn_runtime.store.contract.audits import TestAudit
from cairn_runtime.store.contract.changes import TestChanges
from cairn_runtime.store.contract.claims import TestClaims, TestHeartbeats
from cairn_runtime.store.contract.commits import TestCommits, TestLostReplies
from cairn_runtime.store.contract.copies import TestImportedCheckpoints, TestImportedRows, TestReading
from cairn_runtime.store.contract.deletion import TestDeletion
from cairn_runtime.store.contract.deliveries import TestDeliveries
from cairn_runtime.store.contract.history import TestHistory
from cairn_runtime.store.contract.lasting import TestDamage, TestLasting
from cairn_runtime.store.contract.machine import TestAgainstAModel
from cairn_runtime.store.contract.metrics import TestMetrics
from cairn_runtime.store.contract.opening import TestOpening
from cairn_runtime.store.contract.options import store_crash, store_damage, store_url
from cairn_runtime.store.contract.progress import TestProgress
from cairn_runtime.store.contract.pruning import TestGaps, TestHolds, TestPins, TestPrune
from cairn_runtime.store.contract.rivals import TestRivals
from cairn_runtime.store.contract.runs import TestRuns
from cairn_runtime.store.contract.signals import TestSignals
from cairn_runtime.store.contract.swaps import TestSwaps
from cairn_runtime.store.contract.usage import TestUsage

__all__ = [
    "TestAgainstAModel",
    "TestAnnotations",
    "TestAudit",
    "TestChanges",
    "TestClaims",
    "TestCommits",
    "TestDamage",
    "TestDeletion",
    "TestDeliveries",
    "TestGaps",
    "TestHeads",
    "TestHeartbeats",
    "TestHistory",
    "TestHolds",
    "TestImportedCheckpoints",
    "TestImportedRows",
    "TestLasting",
    "TestLostReplies",
    "TestMetrics",
    "TestOpening",
    "TestPins",
    "TestProgress",
    "TestPrune",
    "TestReading",
    "TestRivals",
    "TestRuns",
    "TestSignals",
    "TestSwaps",
    "TestUsage",
    "store_crash",
    "store_damage",
    "store_url",
]
