"An HTTP load generator: closed loop (C clients, one question at a time each) and open loop (Poisson arrivals that do not wait for answers). One callback per answer and no task per question, so that it stays cheaper than any server it asks."
import asyncio
import random
import time

now = time.perf_counter


class Line(asyncio.Protocol):
    "One keep-alive connection with at most one question under way; `done(status)` is called with 0 where the connection broke."
    done, buffer, closing = None, b"", False

    def connection_made(self, transport): self.transport = transport

    def ask(self, request, done): self.done = done; self.transport.write(request)

    def data_received(self, data):
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0: return
        head = self.buffer[:end].lower()
        at = head.find(b"content-length:") + 15
        if len(self.buffer) - end - 4 < int(head[at:].split(b"\r\n", 1)[0]): return
        self.buffer, self.closing = b"", b"connection: close" in head
        done, self.done = self.done, None
        if done: done(int(head[9:12]))

    def connection_lost(self, exc):
        self.closing = True
        if self.done: self.done(0)


async def connect(port): return (await asyncio.get_running_loop().create_connection(Line, "127.0.0.1", port))[1]


def run(coroutine):
    "asyncio.run, on uvloop where it is there."
    try: import uvloop
    except ImportError: return asyncio.run(coroutine)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner: return runner.run(coroutine)


async def closed(port, requests, clients, seconds, refused_wait=0.005):
    "(answers per second, [(status, seconds)]); a client that is refused waits a little, as it is told to."
    out, end, it, loop = [], now() + seconds, iter(requests), asyncio.get_running_loop()

    async def one():
        line = await connect(port)
        while now() < end:
            answered = loop.create_future()
            start = now()
            line.ask(next(it), answered.set_result)
            status = await answered
            out.append((status, now() - start))
            if status == 429: await asyncio.sleep(refused_wait)
        line.transport.close()

    start = now()
    await asyncio.gather(*(one() for _ in range(clients)))
    return sum(s == 200 for s, _ in out) / (now() - start), out


async def opened(port, requests, rate, seconds, most=2000, patience=10):
    "[(status or 0 where unanswered, seconds from the planned arrival, seconds the generator itself was late)] of Poisson arrivals at `rate`; at most `most` connections."
    rng, free, made, tasks = random.Random(0), [], 0, set()
    plan, due = [], 0.0
    while (due := due + rng.expovariate(rate)) < seconds: plan.append((due, next(requests)))
    out = [(0, 0.0, 0.0)] * len(plan)
    for _ in range(64): free.append(await connect(port)); made += 1
    start = now() + 0.05

    def send(i, line):
        late = now() - start - plan[i][0]

        def done(status):
            nonlocal made
            out[i] = (status, now() - start - plan[i][0], late)
            if line.closing: made -= 1
            else: free.append(line)

        line.ask(plan[i][1], done)

    async def on_new(i): send(i, await connect(port))

    for i, (due, _) in enumerate(plan):
        while (wait := start + due - now()) > 0: await asyncio.sleep(wait)
        while free and free[-1].closing: free.pop(); made -= 1  # the server has closed an idle one
        if free: send(i, free.pop())
        elif made < most: made += 1; tasks.add(t := asyncio.ensure_future(on_new(i))); t.add_done_callback(tasks.discard)
        if i % 20 == 0: await asyncio.sleep(0)  # answers are read even where the generator is behind
    end = now() + patience
    while now() < end and len(free) < made: await asyncio.sleep(0.05)
    for line in free: line.transport.close()
    return out
