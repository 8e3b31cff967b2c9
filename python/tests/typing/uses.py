"""What type checkers must understand: each line gives the type that it says."""

import asyncio
import concurrent.futures

import poolmap


def do_work(a: int, b: int, c: int) -> str:
    return f"Pokemon#{a}{b}{c}"


with poolmap.Executor(max_workers=2, timeout=5, retries=1) as pool:
    future: concurrent.futures.Future[str] = pool.submit(do_work, 2, 4, c=5)
    text: str = future.result()
    for each in pool.map(do_work, [1], [2], [3], buffersize=10, progress=True):
        text = each
    text = pool.options(timeout=0.5).submit(do_work, 1, 2, 3).result()
    standard: concurrent.futures.Executor = pool

with poolmap.Pool(2, maxtasksperchild=10) as processes:
    texts: list[str] = processes.starmap(do_work, [(1, 2, 3)])
    lengths: list[int] = processes.map(len, ["a"])
    text = processes.apply_async(do_work, (1, 2, 3), callback=print).get(timeout=1)
    length: int = processes.imap(len, ["a"]).next(timeout=1)

size: int = poolmap.pool_size(divisor=1.5, platform_limit="strict")
results: list[str] = poolmap.run_jobs([do_work], [(1, 2, 3)], workers=1, order="submitted")
poolmap.joblib.register()
with poolmap.Executor(cluster="client.access", ship=["model.bin"], cancel_running=False) as elsewhere:
    text = elsewhere.submit(do_work, 1, 2, 3).result()
results = poolmap.run_jobs([do_work], [(1, 2, 3)], cluster=True)

try:
    pass
except poolmap.TaskDied as died:
    broken: concurrent.futures.BrokenExecutor = died
except poolmap.TaskTimeout as late:
    timeout: TimeoutError = late
except poolmap.RemoteError as remote:
    text = remote.type + remote.message


async def main() -> str:
    async with poolmap.AsyncExecutor(2) as pool:
        async for value in pool.as_completed(do_work, [(1, 2, 3)]):
            print(value.upper())
        return await pool.run(do_work, 1, 2, c=3)


asyncio.run(main())
