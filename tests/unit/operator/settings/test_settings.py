"""What the operator's process is told from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from cairn_operator.settings import DieAt, Settings, read_settings
from cairn_runtime.errors import SettingsInvalid

NEEDED = {"CAIRN_INSTALLATION": "prod", "CAIRN_IMAGE": "example/cairn:1"}


def read(own_namespace="", **environ):
    return read_settings({**NEEDED, **environ}, host="host-1", own_namespace=own_namespace)


def faults(**environ):
    with pytest.raises(SettingsInvalid) as caught:
        read(**environ)
    return [str(fault) for fault in caught.value.faults]


def test_two_variables_are_enough():
    """Everything but the installation's name and the runners' image has a default."""
    assert read() == Settings("prod", "example/cairn:1", "host-1")


def test_what_must_differ_between_installations_has_no_default():
    """Two installations of one name that share a store would sweep each other's runs away."""
    with pytest.raises(SettingsInvalid) as caught:
        read_settings({}, host="h", own_namespace="")

    assert [fault.path for fault in caught.value.faults] == list(NEEDED)
    assert caught.value.exit_code == 78


def test_every_variable_is_read():
    """Each optional variable reaches its field."""
    settings = read(
        CAIRN_IDENTITY="op-1",
        CAIRN_IMAGE_PULL_POLICY="Never",
        CAIRN_KEYS_SECRET="cairn-keys",
        CAIRN_NAMESPACES="a, b,a",
        CAIRN_STORES="/stores",
        CAIRN_LEASE="mine",
        CAIRN_LEASE_NAMESPACE="system",
        CAIRN_FINISHED_PODS="0",
        CAIRN_FINISHED_PODS_FOR="5m",
        CAIRN_WORKERS="4",
        CAIRN_LIST_EVERY="1m",
        CAIRN_SWEEP_EVERY="2h",
        CAIRN_SWEEP_APART="15m",
        CAIRN_SWEEP_PATIENCE="2d",
        CAIRN_PORT="0",
        CAIRN_LOG_FORMAT="text",
        CAIRN_LOG_LEVEL="debug",
        CAIRN_DIE_AT="create_pod:2",
    )

    assert settings == Settings(
        installation="prod",
        image="example/cairn:1",
        identity="op-1",
        pull_policy="Never",
        keys_secret="cairn-keys",
        namespaces=("a", "b"),
        stores=Path("/stores"),
        lease="mine",
        lease_namespace="system",
        finished_pods=0,
        finished_pods_seconds=300.0,
        workers=4,
        list_seconds=60.0,
        sweep_seconds=7200.0,
        sweep_apart_seconds=900.0,
        sweep_patience_seconds=172800.0,
        port=0,
        log_format="text",
        log_level="DEBUG",
        die_at=DieAt("create_pod", 2),
    )


def test_the_lease_lies_in_the_namespace_of_the_pod():
    """An operator in a cluster needs rights in its own namespace only, unless told otherwise."""
    assert read(own_namespace="cairn-system").lease_namespace == "cairn-system"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("CAIRN_INSTALLATION", "Prod", '"Prod" is not a name of small letters'),
        ("CAIRN_KEYS_SECRET", "../keys", "cannot be the name of a Secret"),
        ("CAIRN_IMAGE_PULL_POLICY", "Sometimes", "write Always, IfNotPresent, Never"),
        ("CAIRN_NAMESPACES", "a,*", '"*" is not a name of small letters'),
        ("CAIRN_FINISHED_PODS", "-1", "not a whole number from 0 to 1000"),
        ("CAIRN_FINISHED_PODS_FOR", "soon", "soon"),
        ("CAIRN_WORKERS", "0", "not a whole number from 1 to 100"),
        ("CAIRN_LIST_EVERY", "1ms", "too short"),
        ("CAIRN_PORT", "65536", "not a whole number from 0 to 65535"),
        ("CAIRN_LOG_FORMAT", "xml", "write json or text"),
        ("CAIRN_LOG_LEVEL", "LOUD", "write DEBUG, INFO, WARNING, ERROR or CRITICAL"),
        ("CAIRN_DIE_AT", "create_pod:0", "create_pod:2"),
        ("CAIRN_DIE_AT", "create_pods", "is not a write; it is one of audit, create_run,"),
    ],
)
def test_a_wrong_variable_is_named_with_what_to_write(name, value, problem):
    """A fault begins with the variable and says what would be right."""
    (found,) = faults(**{name: value})

    assert found.startswith(f"{name}: ")
    assert problem in found


def test_all_faults_are_named_at_once():
    """Whoever installs it mends everything in one go."""
    assert len(faults(CAIRN_PORT="x", CAIRN_WORKERS="x", CAIRN_LOG_FORMAT="x")) == 3
