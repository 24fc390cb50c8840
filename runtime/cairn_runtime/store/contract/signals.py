"""Signals and answers: stored once, used once, in order."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from cairn_runtime.errors import RunNotFound, WaitClosed
from cairn_runtime.model.ids import new_id
from cairn_runtime.model.values import JSONValue
from cairn_runtime.store.base import NewSignal, Outcome, Phase, Store, Wait
from cairn_runtime.store.contract.cases import StoreCase, begun

_FAR = datetime(2200, 1, 1, tzinfo=UTC)
_PAST = datetime(2001, 1, 1, tzinfo=UTC)


def approval(name: str = "sign#1", deadline: datetime | None = None) -> Wait:
    """Build a wait for a person."""
    return Wait(name, "approval", name, "Publish?", deadline=deadline)


def answer(wait: str = "sign#1", client_id: str = "", *, value: JSONValue = True) -> NewSignal:
    """Build the answer to an approval."""
    return NewSignal(wait.split("#", maxsplit=1)[0], value, client_id or new_id(), wait)


class TestSignals(StoreCase):
    """What `send` and `signals` promise, and how a commit uses signals up."""

    async def test_signals_are_numbered_from_one_in_each_run(self, store: Store) -> None:
        """The number is the order in which they came, and in which they are used."""
        one, two = await begun(store), await begun(store)

        sent = [await store.send(one.run_id, NewSignal("go", n, new_id())) for n in range(3)]
        other = await store.send(two.run_id, NewSignal("go", 0, new_id()))

        assert [signal.number for signal in sent] == [1, 2, 3]
        assert other.number == 1
        assert await store.signals(one.run_id) == sent

    @pytest.mark.parametrize(
        "value", [None, True, 0, 2**63, 1.5, "t\u00e4xt\n", "zero \0", [], {"a": [{"b": None}]}], ids=ascii
    )
    async def test_a_value_comes_back_as_it_was_sent(self, store: Store, value: JSONValue) -> None:
        """Any JSON value may be sent."""
        writer = await begun(store)

        sent = await store.send(writer.run_id, NewSignal("go", value, "me"))

        assert (sent.value, sent.name, sent.client_id, sent.wait) == (value, "go", "me", "")
        assert await store.signals(writer.run_id) == [sent]

    async def test_sending_again_answers_the_stored_signal(self, store: Store) -> None:
        """The same client_id is the same signal, whatever else the second call says."""
        writer = await begun(store)
        first = await store.send(writer.run_id, NewSignal("go", 1, "same"))
        row = await store.run(writer.run_id)

        again = await store.send(writer.run_id, NewSignal("go", 2, "same"))

        assert again == first
        assert await store.run(writer.run_id) == row
        assert await store.signals(writer.run_id) == [first]

    async def test_a_client_id_belongs_to_its_run(self, store: Store) -> None:
        """Another run with the same client_id gets a signal of its own."""
        one, two = await begun(store), await begun(store)

        first = await store.send(one.run_id, NewSignal("go", 1, "same"))
        second = await store.send(two.run_id, NewSignal("go", 2, "same"))

        assert await store.signals(one.run_id) == [first]
        assert await store.signals(two.run_id) == [second]
        assert (second.run_id, second.value) == (two.run_id, 2)

    @pytest.mark.parametrize("phase", ["Pending", "Running", "Waiting", "Suspended"])
    async def test_an_unfinished_run_takes_signals(self, store: Store, phase: Phase) -> None:
        """Whatever it does now, it may use them later."""
        writer = await begun(store)
        await writer.change(Outcome(phase))

        signal = await store.send(writer.run_id, NewSignal("go", 1, "me"))

        assert await store.signals(writer.run_id) == [signal]

    async def test_the_same_signal_at_once_is_stored_once(self, store: Store) -> None:
        """Also when the copies race."""
        writer = await begun(store)

        stored = await asyncio.gather(
            *(store.send(writer.run_id, NewSignal("go", n, "same")) for n in range(8))
        )

        assert len(set(map(repr, stored))) == 1
        assert (await store.run(writer.run_id)).signals_pending == 1

    async def test_sending_marks_the_run_changed(self, store: Store) -> None:
        """Whoever watches the store sees that there is something to do."""
        writer = await begun(store)
        before = await store.run(writer.run_id)
        _, cursor = await store.changed("")

        signal = await store.send(writer.run_id, NewSignal("go", 1, new_id()))
        after = await store.run(writer.run_id)

        assert after.signals_pending == 1
        assert after.updated_at == signal.created_at >= before.updated_at
        assert writer.run_id in (await store.changed(cursor))[0]

    async def test_a_commit_uses_signals_up(self, store: Store) -> None:
        """Consumed signals are pending no more; the others keep their order."""
        writer = await begun(store)
        for n in range(4):
            await store.send(writer.run_id, NewSignal("go", n, new_id()))

        await writer.commit(outcome=Outcome("Running", consumed=(3, 1)))

        assert [signal.number for signal in await store.signals(writer.run_id)] == [2, 4]
        assert (await store.run(writer.run_id)).signals_pending == 2

    async def test_a_row_change_uses_signals_up(self, store: Store) -> None:
        """A commit without checkpoints consumes as well."""
        writer = await begun(store)
        await store.send(writer.run_id, NewSignal("go", 1, new_id()))

        await writer.change(Outcome("Running", consumed=(1,)))

        assert await store.signals(writer.run_id) == []

    async def test_consuming_a_number_twice_is_harmless(self, store: Store) -> None:
        """Nor does a number that nobody sent matter."""
        writer = await begun(store)
        await store.send(writer.run_id, NewSignal("go", 1, new_id()))

        await writer.commit(outcome=Outcome("Running", consumed=(1,)))
        await writer.commit(outcome=Outcome("Running", consumed=(1, 7)))
        await store.send(writer.run_id, NewSignal("go", 2, new_id()))

        assert [signal.number for signal in await store.signals(writer.run_id)] == [2]
        assert (await store.run(writer.run_id)).signals_pending == 1

    async def test_a_refused_commit_uses_nothing_up(self, store: Store) -> None:
        """Signals go with the commit that consumes them, or stay."""
        writer = await begun(store)
        await store.send(writer.run_id, NewSignal("go", 1, new_id()))
        await writer.commit()
        writer.seq = 0

        with pytest.raises(Exception, match=writer.run_id):
            await writer.commit(outcome=Outcome("Running", consumed=(1,)))

        assert len(await store.signals(writer.run_id)) == 1

    async def test_a_signal_may_come_before_anybody_waits(self, store: Store) -> None:
        """A named signal is queued whatever the run does now."""
        writer = await begun(store)

        await store.send(writer.run_id, NewSignal("go", "early", new_id()))
        await writer.commit(outcome=Outcome("Waiting", waits=(Wait("w#1", "signal", "go"),)))

        assert [signal.value for signal in await store.signals(writer.run_id)] == ["early"]

    async def test_an_open_approval_can_be_answered(self, store: Store) -> None:
        """The answer names the wait, and the deadline is still to come."""
        writer = await begun(store)
        await writer.commit(
            outcome=Outcome("Waiting", waits=(approval(deadline=_FAR), approval("sign#2[4]")))
        )

        first = await store.send(writer.run_id, answer("sign#1"))
        second = await store.send(writer.run_id, answer("sign#2[4]"))

        assert [signal.wait for signal in await store.signals(writer.run_id)] == ["sign#1", "sign#2[4]"]
        assert (first.number, second.number) == (1, 2)

    @pytest.mark.parametrize(
        "waits",
        [
            pytest.param((), id="nobody waits"),
            pytest.param((approval("sign#2"),), id="the wait of another visit"),
            pytest.param((Wait("sign#1", "signal", "sign#1"),), id="a wait for a signal of that name"),
            pytest.param((approval(deadline=_PAST),), id="the deadline has passed"),
        ],
    )
    async def test_an_answer_that_nobody_waits_for_is_refused(
        self, store: Store, waits: tuple[Wait, ...]
    ) -> None:
        """A wait that is closed, over or not open yet takes no answer."""
        writer = await begun(store)
        await writer.commit(outcome=Outcome("Waiting", waits=waits))

        with pytest.raises(WaitClosed, match="sign#1"):
            await store.send(writer.run_id, answer())

        assert await store.signals(writer.run_id) == []

    async def test_a_wait_is_answered_once(self, store: Store) -> None:
        """The second person learns that somebody was faster."""
        writer = await begun(store)
        await writer.commit(outcome=Outcome("Waiting", waits=(approval(),)))
        await store.send(writer.run_id, answer())

        with pytest.raises(WaitClosed):
            await store.send(writer.run_id, answer())

    async def test_a_repeated_answer_is_not_refused(self, store: Store) -> None:
        """Sending the same answer again is success, even after the wait was closed by it."""
        writer = await begun(store)
        await writer.commit(outcome=Outcome("Waiting", waits=(approval(),)))
        first = await store.send(writer.run_id, answer(client_id="me"))
        await writer.commit(outcome=Outcome("Succeeded", consumed=(1,)))

        assert await store.send(writer.run_id, answer(client_id="me")) == first

    async def test_a_wait_that_opens_again_can_be_answered_again(self, store: Store) -> None:
        """An answer that was used up and did not do leaves the wait open for another."""
        writer = await begun(store)
        await writer.commit(outcome=Outcome("Waiting", waits=(approval(),)))
        await store.send(writer.run_id, answer(value="nonsense"))
        await writer.commit(outcome=Outcome("Waiting", waits=(approval(),), consumed=(1,)))

        assert (await store.send(writer.run_id, answer())).number == 2

    @pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
    async def test_a_finished_run_takes_no_signal(self, store: Store, phase: str) -> None:
        """Nobody would ever use it."""
        writer = await begun(store)
        await writer.commit(outcome=Outcome(phase))  # type: ignore[arg-type]

        with pytest.raises(WaitClosed, match=phase):
            await store.send(writer.run_id, NewSignal("go", 1, new_id()))

    async def test_an_unknown_run_takes_no_signal(self, store: Store) -> None:
        """Sending never makes a row."""
        with pytest.raises(RunNotFound):
            await store.send("unknown", NewSignal("go", 1, new_id()))

    async def test_the_time_of_a_signal_is_the_stores(self, store: Store) -> None:
        """So that it can be held against a deadline: between the beats before and after it."""
        writer = await begun(store)
        before = await store.heartbeat(writer.run_id, writer.fence)
        signal = await store.send(writer.run_id, NewSignal("go", 1, new_id()))
        after = await store.heartbeat(writer.run_id, writer.fence)

        assert before.now - timedelta(milliseconds=1) <= signal.created_at
        assert signal.created_at <= after.now + timedelta(milliseconds=1)
