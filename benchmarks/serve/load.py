"An HTTP load generator on raw asyncio: closed loop (C clients, one question at a time each) and open loop (Poisson arrivals that do not wait for answers)."
import asyncio
import random
import time


class Client(asyncio.Protocol):
    "One keep-alive connection with at most one question under way."

    def connection_made(self, transport): self.transport, self.waiting, self.buffer = transport, None, b""

    def data_received(self, data):
        self.buffer += data
        head, sep, body = self.buffer.partition(b"\r\n\r\n")
        if not sep: return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) >= length:
            self.buffer = b""
            waiting, self.waiting = self.waiting, None
            if waiting and not waiting.done(): waiting.set_result(int(head[9:12]))

    def connection_lost(self, exc):
        if self.waiting and not self.waiting.done(): self.waiting.set_exception(ConnectionError(str(exc)))

    async def ask(self, request):
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.waiting


async def connect(port):
    return (await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", port))[1]


async def closed(port, requests, clients, seconds):
    "(answers per second, [(status, seconds)])."
    out, end, it = [], time.perf_counter() + seconds, iter(requests)

    async def one():
        c = await connect(port)
        while time.perf_counter() < end:
            start = time.perf_counter()
            status = await c.ask(next(it))
            out.append((status, time.perf_counter() - start))
        c.transport.close()

    start = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    took = time.perf_counter() - start
    return sum(s == 200 for s, _ in out) / took, out


async def opened(port, requests, rate, seconds, most=2000, patience=10):
    "[(status or 0 where unanswered, seconds from the planned arrival)] of Poisson arrivals at `rate`; at most `most` connections."
    rng, out, free, it, tasks, made = random.Random(0), [], [], iter(requests), set(), 0
    for _ in range(64): free.append(await connect(port)); made += 1

    async def one(due):
        nonlocal made
        if free: c = free.pop()
        elif made < most: made += 1; c = await connect(port)
        else: out.append((0, 0.0)); return
        try:
            status = await asyncio.wait_for(c.ask(next(it)), patience)
            out.append((status, time.perf_counter() - due)); free.append(c)
        except (TimeoutError, asyncio.TimeoutError, ConnectionError): made -= 1; c.transport.abort(); out.append((0, time.perf_counter() - due))

    start = due = time.perf_counter()
    while due < start + seconds:
        due += rng.expovariate(rate)
        if (wait := due - time.perf_counter()) > 0: await asyncio.sleep(wait)
        t = asyncio.ensure_future(one(due)); tasks.add(t); t.add_done_callback(tasks.discard)
    if tasks: await asyncio.wait(tasks, timeout=patience)
    for c in free: c.transport.close()
    return out
