"""What a handler or a hook raises, of whatever kind, is its own failure, and nobody else's datagram is lost by it."""

import asyncio
import gc

import pytest
from test_endpoint import SOURCE, Memory, request_bytes, settle

from sipstack import Endpoint, EndpointConfig, _dispatch_py, endpoint, parse


class Stop(BaseException):
    """Such as `pytest.fail` raises."""


COUNT = 12
ERRORS = {
    "own": Stop,
    "GeneratorExit": GeneratorExit,
    "group": lambda: BaseExceptionGroup("of a TaskGroup", [Stop()]),
    "cancelled": asyncio.CancelledError,
    "usual": LookupError,
}
PLACES = ["handler", "first step", "task", "on_datagram", "on_request", "on_response", "on_event", "on_message_sent",
          "on_response_sent", "append_on_response_sent"]  # fmt: skip


@pytest.fixture(params=["as it is", "plain"], autouse=True)
def _dispatcher(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(endpoint, "Dispatcher", _dispatch_py.Dispatcher)


class Served:
    """An endpoint that raises something at one place, for one request of all."""

    def __init__(self, place, make):
        self.place, self.make, self.done = place, make, 0
        hooks = {place: self.hook} if place.startswith("on_") else {}
        self.memory = Memory()
        self.endpoint = Endpoint(EndpointConfig(**hooks), transport=self.memory)
        if place == "append_on_response_sent":
            self.endpoint.append_on_response_sent(self.hook)
        coroutine = place in ("first step", "task")
        self.endpoint.register_handler("OPTIONS", self.later if coroutine else self.options)

    def fail_once(self):
        self.done += 1
        if self.done == 5:
            raise self.make()

    def hook(self, *_):
        self.fail_once()

    def options(self, request, _):
        if self.place == "handler":
            self.fail_once()
        return request.reply(200)

    async def later(self, request, _):
        if self.place == "task":
            await asyncio.sleep(0)
        self.fail_once()
        return request.reply(200)

    async def play(self, data=None):
        async with self.endpoint:
            # Not in this task, where no first step is taken in place.
            deliver = self.memory.receiver.deliver
            asyncio.get_running_loop().call_soon(deliver, [(data or request_bytes(), SOURCE)] * COUNT)
            await settle(lambda: self.endpoint.stats.datagrams == COUNT and self.endpoint.stats.pending == 0)
        return [parse(data).status_code for data, _ in self.memory.sent]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ERRORS)
def test_nobody_elses_request_is_lost(run, place, name, caplog):
    served = Served(place, ERRORS[name])
    answered = run(served.play())
    stats = served.endpoint.stats
    of_handler = place in ("handler", "first step", "task")
    assert sorted(answered) == [200] * (COUNT - of_handler) + [500] * of_handler
    assert (stats.requests, stats.handler_errors, stats.hook_errors) == (COUNT, of_handler, not of_handler)
    assert "failed" in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("place", ["on_sip_response", "on_parse_err", "on_read_error"])
@pytest.mark.parametrize("name", ERRORS)
def test_the_other_hooks(run, place, name):
    served = Served(place, ERRORS[name])
    served.done = 4
    data = parse(request_bytes()).reply(200).to_bytes() if place == "on_sip_response" else b"nonsense"

    async def main():
        await served.play(data)
        served.endpoint._serving.fail(OSError("x"))

    run(main())
    assert served.endpoint.stats.hook_errors == 1
    assert served.endpoint.stats.datagrams == COUNT
    assert served.done == {"on_read_error": 5}.get(place, 4 + COUNT)


@pytest.mark.parametrize("name", ERRORS)
def test_a_transport_and_a_way_back_that_raise_it(go, name):
    class Broken(Memory):
        def send(self, datagrams):
            raise ERRORS[name]()

    async def main():
        served = Endpoint(transport=Broken())
        served.register_handler("OPTIONS", lambda request, _: request.reply(200))
        async with served:
            served._serving.given.receiver.deliver([(request_bytes(), SOURCE)] * 2)
            assert served.stats.send_errors == 2

            def write(_):
                raise ERRORS[name]()

            await served.receive(request_bytes(), SOURCE, write)
            assert served.stats.send_errors == 3

    go(main())


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("kind", ["plain", "coroutine", "deeper"])
def test_dispatch_answers_it(go, name, kind):
    async def later():
        raise ERRORS[name]()

    def plain(request, _):
        raise ERRORS[name]()

    async def coroutine(request, _):
        await later()

    async def main():
        served = Endpoint()
        served.register_handler("OPTIONS", plain if kind == "plain" else coroutine)
        assert (await served.dispatch(parse(request_bytes()))).status_code == 500
        if kind == "plain":
            assert served.dispatch_request(parse(request_bytes())).status_code == 500
        assert served.stats.handler_errors == 1 + (kind == "plain")
        assert served.stats.pending == 0

    go(main())


@pytest.mark.parametrize("place", ["handler", "first step", "on_datagram", "on_request", "on_event", "on_response"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_goes_through_and_what_was_answered_leaves(go, place, kind):
    served = Served(place, kind)
    with pytest.raises(kind):
        go(served.play())
    stats = served.endpoint.stats
    assert (stats.handler_errors, stats.hook_errors) == (0, 0)
    assert 2 <= len(served.memory.sent) <= 4


def test_a_handler_that_is_closed_has_not_failed(caplog):
    """The loop was closed under it: nobody is there to be answered, and it is nobody's failure."""

    async def waits(request, _):
        await asyncio.sleep(1000)

    async def main(served):
        served.open()
        served._serving.adopt(asyncio.get_running_loop())
        served._dispatcher.deliver([(request_bytes(), SOURCE)] * 2)
        waiting = asyncio.ensure_future(served.dispatch(parse(request_bytes())))
        await asyncio.sleep(0.001)
        return [waiting, *served._dispatcher.tasks._tasks.values()]

    memory = Memory()
    served = Endpoint(transport=memory)
    served.register_handler("OPTIONS", waits)
    loop = asyncio.new_event_loop()
    tasks = loop.run_until_complete(main(served))
    for task in tasks:
        task.get_coro().close()
        task._log_destroy_pending = False
    loop.close()
    del tasks, task
    gc.collect()
    assert (served.stats.handler_errors, memory.sent, caplog.text) == (0, [], "")


@pytest.mark.parametrize("name", ["own", "GeneratorExit", "usual"])
def test_what_runs_beside_the_serving_ends_it_however_it_fails(name):
    async def beside():
        await asyncio.sleep(0)
        raise ERRORS[name]()

    with pytest.raises(type(ERRORS[name]())):
        Endpoint(transport=Memory()).run(beside=beside)
