"""First steps in place: what a coroutine sees and does is the same as in a task that asyncio made for it."""

import asyncio
import contextvars
import importlib
import os

import pytest
from test_endpoint import SOURCE, Memory, request_bytes

from sipstack import Endpoint

PLAIN, COMPILED = "_first_steps_py", "_first_steps"
MODULES = [PLAIN] if os.environ.get("SIPSTACK_NO_EXTENSIONS") == "1" else [COMPILED, PLAIN]
WHO = contextvars.ContextVar("WHO", default="nobody")


@pytest.fixture(params=MODULES)
def first_steps(request):
    if request.param == COMPILED:
        pytest.importorskip("sipstack._first_steps")
    return importlib.import_module(f"sipstack.{request.param}").FirstSteps


async def in_a_callback(function):
    """What a function returns that is called by the loop, while no task runs."""
    loop = asyncio.get_running_loop()
    called = loop.create_future()
    loop.call_soon(lambda: called.set_result(function()))
    return await called


async def caught(coroutine):
    """How a coroutine ends."""
    try:
        return "returned", await coroutine
    except (Exception, asyncio.CancelledError) as error:
        return type(error).__name__, error.args


def begin(steps, coroutine):
    """A coroutine whose first step is taken; the task that runs the rest of it, or how it has ended."""
    coroutine = caught(coroutine)
    if steps.take(coroutine):
        return steps.result
    return steps.go_on(wait_for(steps.rest(coroutine)))


async def wait_for(rest):
    return await rest


# ---------------------------------------------------------------- as in a task of its own


async def waits_for_nothing():
    return WHO.get()


async def fails():
    raise LookupError("trouble")


async def sees_one_task():
    task, running = asyncio.current_task(), asyncio.get_running_loop()
    await asyncio.sleep(0)
    seen = asyncio.current_task() is task, asyncio.get_running_loop() is running
    await asyncio.sleep(0.001)
    return *seen, asyncio.current_task() is task


async def runs_out_of_time():
    async with asyncio.timeout(0.001):
        await asyncio.Event().wait()


async def is_out_of_time_at_once():
    async with asyncio.timeout(0):
        await asyncio.Event().wait()


async def has_a_group():
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(0, number)) for number in range(3)]
    return [task.result() for task in tasks]


async def has_a_group_that_fails():
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            await asyncio.Event().wait()
    except* LookupError as errors:
        failed = len(errors.exceptions)
    return failed, asyncio.current_task().cancelling()


async def keeps_its_context():
    WHO.set("me")
    await asyncio.sleep(0)
    return WHO.get()


async def cancels_itself():
    asyncio.current_task().cancel("enough")
    await asyncio.sleep(1)


async def cancels_itself_and_goes_on():
    asyncio.current_task().cancel()
    try:
        await asyncio.sleep(1)
    except asyncio.CancelledError:
        asyncio.current_task().uncancel()
    await asyncio.sleep(0)
    return asyncio.current_task().cancelling()


async def waits_for_what_is_done():
    done = asyncio.get_running_loop().create_future()
    done.set_result(7)
    return await done


async def waits_for_what_fails():
    failed = asyncio.get_running_loop().create_future()
    failed.set_exception(LookupError("late"))
    return await failed


async def waits_for_another_loops():
    other = asyncio.new_event_loop()
    try:
        await other.create_future()
    finally:
        other.close()


async def yields_what_is_no_future():
    class Odd:
        def __await__(self):
            yield 7

    await Odd()


@pytest.mark.parametrize("program", [
    waits_for_nothing, fails, sees_one_task, runs_out_of_time, is_out_of_time_at_once, has_a_group,
    has_a_group_that_fails, keeps_its_context, cancels_itself, cancels_itself_and_goes_on, waits_for_what_is_done,
    waits_for_what_fails, waits_for_another_loops, yields_what_is_no_future,
])  # fmt: skip
async def test_a_coroutine_ends_as_in_a_task_of_its_own(first_steps, program):
    steps = first_steps(asyncio.get_running_loop())
    expected = await asyncio.create_task(caught(program()))
    ended = await in_a_callback(lambda: begin(steps, program()))
    found = await ended if isinstance(ended, asyncio.Task) else ended
    assert found[0] == expected[0]
    if expected[0] != "RuntimeError":  # whose text names the task
        assert found == expected
    assert WHO.get() == "nobody"


async def is_cancelled(log, inner):
    try:
        await inner
    except asyncio.CancelledError as error:
        log.append(error.args)
    await asyncio.sleep(0)
    return "tidy"


@pytest.mark.parametrize(
    ("kind", "turns"),
    [("future", 0), ("future", 1), ("future", 2), ("task", 0), ("task", 1), ("task", 2), ("done", 0), ("done", 1),
     ("done", 2), ("sleep", 0), ("sleep", 1)],
)  # fmt: skip
async def test_a_task_that_is_cancelled_behind_its_first_step(first_steps, kind, turns):
    async def cancelled(how):
        loop, log = asyncio.get_running_loop(), []
        inner = {
            "future": loop.create_future,
            "done": loop.create_future,
            "task": lambda: asyncio.create_task(asyncio.sleep(60)),
            "sleep": lambda: asyncio.sleep(0),
        }[kind]()
        if kind == "task":
            await asyncio.sleep(0)
        task = await how(is_cancelled(log, inner), turns, lambda: kind == "done" and inner.set_result(1))
        return await caught(task), log, kind in ("future", "task") and inner.cancelled(), task.cancelling()

    async def natively(coroutine, turns, afterwards):
        task = asyncio.create_task(coroutine)
        await asyncio.sleep(0)  # its first step
        return await cancel(task, turns, afterwards)

    async def in_place(coroutine, turns, afterwards):
        def start():
            assert not steps.take(coroutine)
            task = steps.go_on(wait_for(steps.rest(coroutine)))
            if not turns:
                afterwards()
                task.cancel("why")
            return task

        steps = first_steps(asyncio.get_running_loop())
        task = await in_a_callback(start)
        return await cancel(task, turns, afterwards) if turns else task

    async def cancel(task, turns, afterwards):
        for _ in range(turns - 1):
            await asyncio.sleep(0)
        afterwards()
        task.cancel("why")
        return task

    assert await cancelled(in_place) == await cancelled(natively)


# ---------------------------------------------------------------- one task for many steps


async def test_steps_share_a_task_until_one_waits(first_steps):
    async def names_its_task(wait):
        task = asyncio.current_task()
        if wait:
            await asyncio.sleep(0)
        assert asyncio.current_task() is task
        return task

    steps = first_steps(asyncio.get_running_loop())
    before = asyncio.all_tasks()
    begun = await in_a_callback(lambda: [begin(steps, names_its_task(wait)) for wait in (0, 0, 1, 0, 1, 0)])
    tasks = [(await one if isinstance(one, asyncio.Task) else one)[1] for one in begun]
    assert [tasks.index(task) for task in tasks] == [0, 0, 0, 3, 3, 5]
    await asyncio.gather(*tasks)
    assert asyncio.all_tasks() == before


async def test_a_step_leaves_nothing_behind_in_the_next(first_steps):
    async def leaves(what):
        seen = WHO.get(), asyncio.current_task().cancelling()
        if what == "a value":
            WHO.set("somebody")
        elif what == "a cancellation":
            asyncio.current_task().cancel()
        elif what == "an error":
            raise asyncio.CancelledError
        return seen

    steps = first_steps(asyncio.get_running_loop())
    kinds = ["", "a value", "", "a cancellation", "", "an error", ""]
    begun = await in_a_callback(lambda: [begin(steps, leaves(kind)) for kind in kinds])
    assert begun == [("CancelledError", ()) if kind == "an error" else ("returned", ("nobody", 0)) for kind in kinds]


async def test_a_coroutine_that_is_closed(first_steps):
    closed = []

    async def waits():
        try:
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    steps, coroutine = first_steps(asyncio.get_running_loop()), waits()
    task = await in_a_callback(lambda: not steps.take(coroutine) and steps.go_on(wait_for(steps.rest(coroutine))))
    task.get_coro().close()
    assert closed == [True]
    task.cancel()
    await caught(task)


# ---------------------------------------------------------------- handlers


class Counted(Memory):
    """How many datagrams left in each call."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def send(self, datagrams):
        self.calls.append(len(datagrams))
        return super().send(datagrams)


async def test_what_waits_for_nothing_is_answered_with_its_batch():
    memory, release = Counted(), asyncio.Event()
    endpoint = Endpoint(transport=memory)

    @endpoint.handler("OPTIONS")
    async def options(request, addr):
        return request.reply(200)

    @endpoint.handler("INVITE")
    async def invite(request, addr):
        return request.reply(486)

    @endpoint.handler("INFO")
    async def info(request, addr):
        await release.wait()
        return request.reply(202)

    @endpoint.handler("BYE")
    async def bye(request, addr):
        raise LookupError

    async with endpoint:
        batch = [(request_bytes(method), SOURCE) for method in ("OPTIONS", "INFO", "INVITE", "OPTIONS", "BYE", "INFO")]
        await in_a_callback(lambda: memory.receiver.deliver(batch))
        assert memory.calls == [4]
        assert (endpoint.stats.pending, len(endpoint._dispatcher.tasks.invites._all)) == (2, 0)
        release.set()
        while endpoint.stats.pending:
            await asyncio.sleep(0)
        assert endpoint.stats.responses_by_class == {"2xx": 4, "4xx": 1, "5xx": 1}


@pytest.mark.parametrize("way", ["with the INVITE", "in the next turn", "in the first step"])
async def test_a_cancel_that_comes_right_behind_a_first_step(way):
    endpoint, told = Endpoint(transport=Memory()), []

    @endpoint.handler("INVITE")
    async def invite(request, addr):
        if way == "in the first step":
            endpoint.receive(request_bytes("CANCEL"), SOURCE, lambda data: None)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            told.append(bool(error.args))
            await asyncio.sleep(0)
            return request.reply(486)

    async with endpoint:
        batch = [(request_bytes("INVITE"), SOURCE), (request_bytes("CANCEL"), SOURCE)]
        memory = endpoint.transport
        if way == "with the INVITE":
            await in_a_callback(lambda: memory.receiver.deliver(batch))
        else:
            await in_a_callback(lambda: memory.receiver.deliver(batch[:1]))
        if way == "in the next turn":
            memory.receiver.deliver(batch[1:])
        while endpoint.stats.pending:
            await asyncio.sleep(0)
        assert told == [way != "in the first step"]
        assert endpoint.stats.responses_by_class == {"2xx": 1, "4xx": 1}


async def test_a_message_that_comes_in_a_first_step():
    endpoint, answers = Endpoint(transport=Memory()), []

    @endpoint.handler("OPTIONS")
    async def options(request, addr):
        task = asyncio.current_task()
        done = endpoint.receive(request_bytes("INFO"), ("192.0.2.7", 5060), answers.append)
        assert asyncio.current_task() is task
        await done
        return request.reply(200)

    @endpoint.handler("INFO")
    async def info(request, addr):
        assert asyncio.current_task() is not None
        return request.reply(200)

    async with endpoint:
        memory = endpoint.transport
        await in_a_callback(lambda: memory.receiver.deliver([(request_bytes(), SOURCE)] * 2))
        while endpoint.stats.responses < 4:
            await asyncio.sleep(0)
        assert len(answers) == 2
        assert endpoint.stats.handler_errors == 0
