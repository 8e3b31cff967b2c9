"""`cluster=`: the same calls on the workers of a cluster, over TLS."""

import asyncio
import concurrent.futures
import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from clusters import PROGRAM, Cluster, Relay, addresses
from conftest import eventually, needed, other_python, run_script
from tasks import add, die, pid, wait_for

import poolmap

TASKS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tasks.py")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(str(tmp_path_factory.mktemp("cluster"))) as cluster:
        cluster.add_worker("one")
        cluster.add_worker("two")
        yield cluster


@pytest.fixture
def pool(cluster):
    with poolmap.Executor(cluster=cluster.access, ship=[TASKS]) as pool:
        yield pool


def running(cluster):
    """The jobs that the coordinator has not seen end."""
    jobs = [json.loads(line) for line in cluster.told("jobs", "--json").splitlines()]
    return [job for job in jobs if job["state"] in ("running", "waiting", "paused")]


def test_tasks_run_on_the_workers_of_the_cluster(pool, cluster):
    assert pool.submit(add, 1, b=2).result() == 3
    assert list(pool.map(add, range(1000))) == list(range(1, 1001))
    assert pool.submit(os.getcwd).result() != os.getcwd()
    with pytest.raises(poolmap.TaskDied, match="status 3"):
        pool.submit(die).result()
    assert pool._max_workers == 2


def test_a_program_without_a_guard_runs_there_as_it_does_here(cluster):
    printed = run_script(
        """
import concurrent.futures, sys, poolmap
class Pokemon(Exception): pass
def do_work(a, b, c):
    if a == 0: raise Pokemon(a)
    return f"Pokemon#{a}{b}{c}"
with poolmap.Executor(cluster=sys.argv[1]) as pool:
    futures = [pool.submit(do_work, *t) for t in [(2, 4, 5), (2, 5, 0), (3, 8, 0), (3, 8, 1)]]
    print(*sorted(f.result() for f in concurrent.futures.as_completed(futures)))
    print(type(pool.submit(do_work, 0, 0, 0).exception()) is Pokemon)
""",
        cluster.access,
    )
    assert printed == "Pokemon#245 Pokemon#250 Pokemon#380 Pokemon#381\nTrue\n"


def test_the_same_program_runs_on_this_machine_and_on_a_cluster_that_one_file_describes(tmp_path):
    example = os.path.join(os.path.dirname(TASKS), "..", "..", "examples", "cluster-local.toml")
    with socket.socket() as free, open(example) as file:
        free.bind(("127.0.0.1", 0))
        listen = f'[coordinator]\nlisten = "127.0.0.1:{free.getsockname()[1]}"\n'
        # The tasks' Python is the program's.
        workers = file.read().replace("[[workers]]", f'[[workers]]\npython = "{sys.executable}"')
    (tmp_path / "cluster.toml").write_text(listen + workers)
    program = """
import concurrent.futures, poolmap
def do_work(a, b, c):
    return f"Pokemon#{a}{b}{c}"
with poolmap.Executor(%s) as pool:
    for f in concurrent.futures.as_completed([pool.submit(do_work, *t) for t in [(2,4,5), (2,5,0), (3,8,0), (3,8,1)]]):
        print(f.result())
"""
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    environment.pop("POOLMAP_ACCESS", None)

    def cluster(word):
        words = [PROGRAM, "cluster", word, "cluster.toml"]
        subprocess.run(words, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=50)

    cluster("up")
    try:
        for place in ("", "cluster=True"):
            printed = run_script(program % place, env=environment).split()
            assert sorted(printed) == ["Pokemon#245", "Pokemon#250", "Pokemon#380", "Pokemon#381"]
    finally:
        cluster("down")


def test_the_usual_access_file_is_that_of_the_environment(cluster, monkeypatch):
    monkeypatch.setenv("POOLMAP_ACCESS", cluster.access)
    assert poolmap.run_jobs([len, abs], [("abc",), (-1,)], order="submitted", cluster=True) == [3, 1]


def test_pools_coroutines_and_joblib_take_a_cluster(cluster):
    with poolmap.Pool(cluster=cluster.access, ship=[TASKS]) as pool:
        assert pool.starmap(add, [(1, 2), (3, 4)]) == [3, 7]

    async def main():
        async with poolmap.AsyncExecutor(cluster=cluster.access) as pool:
            return await pool.run(abs, -5)

    assert asyncio.run(main()) == 5
    joblib = needed("joblib")
    poolmap.joblib.register()
    with joblib.parallel_config("poolmap", n_jobs=-1, cluster=cluster.access, ship=[TASKS]):
        parallel = joblib.Parallel()
        assert parallel(joblib.delayed(add)(number) for number in range(20)) == list(range(1, 21))
        assert parallel._effective_n_jobs() == 2
    while poolmap.joblib._executors:
        poolmap.joblib._executors.popitem()[1].shutdown()


def test_an_address_in_the_clear_is_one_of_this_machine(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [PROGRAM, "coordinator", "--insecure", "--listen", f"127.0.0.1:{port}"]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as coordinator:
        try:
            assert coordinator.stdout.readline()
            with subprocess.Popen([PROGRAM, "worker", "--connect", url, "--insecure", "--python", sys.executable]) as worker:
                try:
                    with poolmap.Executor(cluster=url) as pool:
                        assert pool.submit(abs, -3).result() == 3
                finally:
                    worker.kill()
        finally:
            coordinator.kill()
    with pytest.raises(ValueError, match="nothing crosses a network in the clear"):
        poolmap.Executor(cluster="http://192.0.2.1:7464")


def test_a_module_that_a_host_lacks_is_named_with_the_host_and_the_way_out(cluster):
    with poolmap.Executor(cluster=cluster.access) as pool:
        with pytest.raises(ModuleNotFoundError, match=f"'tasks' on host {socket.gethostname()} .*\n.*ship=") as caught:
            pool.submit(add, 1).result()
        assert caught.value.name == "tasks"
        with pytest.raises(ModuleNotFoundError, match="ship="):
            pool.submit(lambda: __import__("tasks")).result()
    with poolmap.Executor(cluster=cluster.access, initializer=pid) as pool:
        with pytest.raises(poolmap.PoolBroken, match=r"(?s)on host .*ship="):
            pool.submit(abs, 1).result()


def test_a_host_needs_nothing_but_python(tmp_path):
    with Cluster(str(tmp_path)) as cluster:
        cluster.add_worker(python=os.path.realpath(sys.executable))
        with poolmap.Executor(cluster=cluster.access) as pool:
            text = "doubled"
            assert pool.submit(lambda: (lambda: text)()).result() == "doubled"
            own_prefix = pool.submit(lambda: __import__("sys").prefix).result()
    assert own_prefix != sys.prefix


def test_a_worker_with_another_python_is_refused_with_both_versions(tmp_path):
    other = other_python()
    said = subprocess.run([other, "-c", "import sys; print(*sys.version_info[:2], sep='.')"], capture_output=True, text=True)
    ours, theirs = "{}.{}".format(*sys.version_info), said.stdout.strip()
    with Cluster(str(tmp_path)) as cluster:
        cluster.add_worker("other", python=other)
        with poolmap.Executor(cluster=cluster.access) as pool:
            with pytest.raises(poolmap.PoolBroken, match=rf"other.* is Python {theirs}, .* from Python {ours}:"):
                pool.submit(abs, -1).result()
            with pytest.raises(poolmap.PoolBroken, match=theirs):
                pool.submit(abs, -1)
        cluster.add_worker("same")
        with poolmap.Executor(cluster=cluster.access) as pool:
            assert set(pool.map(lambda _: __import__("sys").version_info[:2], range(50))) == {sys.version_info[:2]}


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"cluster": "/no/such/file"}, FileNotFoundError, "there is no access file /no/such/file"),
        ({"cluster": "http://127.0.0.1:1"}, ConnectionError, "127.0.0.1:1"),
        ({"cluster": "https://127.0.0.1:1"}, ValueError, "is no address"),
        ({"cluster": 5}, TypeError, "cluster must be"),
        ({"cluster": "http://127.0.0.1:1", "max_workers": 2}, ValueError, "leave it out"),
        ({"cluster": "http://127.0.0.1:1", "backend": "inline"}, ValueError, "inline"),
        ({"cluster": "http://127.0.0.1:1", "ship": "a.py"}, TypeError, "list of paths"),
        ({"cluster": "http://127.0.0.1:1", "ship": ["/no/such"]}, FileNotFoundError, "/no/such"),
        ({"ship": [TASKS]}, ValueError, "for a cluster"),
    ],
)
def test_a_cluster_that_cannot_be_had_is_told_at_once(options, error, text):
    with pytest.raises(error, match=text):
        poolmap.Executor(**options)


def test_an_access_file_that_is_none_or_not_a_clients_is_refused(cluster, tmp_path):
    path = tmp_path / "client.access"
    path.write_text("not one")
    path.chmod(0o644)
    with pytest.raises(PermissionError, match="chmod 600"):
        poolmap.Executor(cluster=path)
    path.chmod(0o600)
    with pytest.raises(ValueError, match="is not an access file"):
        poolmap.Executor(cluster=path)
    with pytest.raises(ValueError, match="is for a worker"):
        poolmap.Executor(cluster=cluster.access.replace("client", "worker"))


def test_an_access_file_of_another_cluster_is_refused(cluster, tmp_path):
    """Its addresses are those of this cluster, its certificates those of the other."""
    with Cluster(str(tmp_path)) as other:
        text = open(other.access).read()

    mixed = tmp_path / "mixed.access"
    mixed.write_text(text.replace(addresses(text), addresses(open(cluster.access).read())))
    mixed.chmod(0o600)
    with pytest.raises(ConnectionError):
        poolmap.Executor(cluster=mixed)


def test_leaving_the_with_block_ends_the_job(cluster):
    with poolmap.Executor(cluster=cluster.access) as pool:
        pool.submit(abs, 1).result()
        assert running(cluster)
    eventually(lambda: not running(cluster))


def test_terminate_cancels_the_job_and_what_runs(cluster, tmp_path):
    path = str(tmp_path / "never")
    pool = poolmap.Executor(cluster=cluster.access, ship=[TASKS])
    future = pool.submit(wait_for, path)
    eventually(lambda: os.path.exists(f"{path}.begun"))
    pool.terminate()
    with pytest.raises(poolmap.PoolBroken):
        future.result()
    eventually(lambda: not running(cluster))


def test_a_client_that_is_killed_leaves_no_job(cluster, tmp_path):
    script = (
        "import sys, time, poolmap\n"
        "def endless(path): open(path, 'w').close(); time.sleep(3600)\n"
        "poolmap.Executor(cluster=sys.argv[1]).submit(endless, sys.argv[2]).result()\n"
    )
    begun = str(tmp_path / "begun")
    with subprocess.Popen([sys.executable, "-c", script, cluster.access, begun]) as client:
        eventually(lambda: os.path.exists(begun))
        client.send_signal(signal.SIGKILL)
    # The coordinator waits for a client that may come back.
    eventually(lambda: not running(cluster), 60)
    with poolmap.Executor(cluster=cluster.access) as pool:
        assert pool.submit(abs, -1).result() == 1, "its slot is free"


@pytest.mark.parametrize("too_large", [bytes(70_000_000), "x" * 70_000_000], ids=["bytes", "text"])
def test_arguments_larger_than_the_coordinator_takes_fail_their_own_call_and_no_other(cluster, too_large):
    with poolmap.Executor(cluster=cluster.access) as pool:
        before = pool.submit(abs, -1)
        with pytest.raises(ValueError, match="(?s)7000.* bytes when pickled.*--max-message-size"):
            pool.submit(len, too_large).result()
        with pytest.raises(ValueError, match="--max-message-size"):
            list(pool.map(len, [too_large]))
        assert [before.result(), pool.submit(abs, -2).result()] == [1, 2]


def test_a_connection_that_breaks_is_made_again_and_nothing_is_lost(cluster, tmp_path):
    with Relay(cluster.access, tmp_path / "relayed.access") as relay:
        with poolmap.Executor(cluster=relay.access, ship=[TASKS]) as pool:
            gate = str(tmp_path / "gate")
            held = pool.submit(wait_for, gate)
            eventually(lambda: os.path.exists(f"{gate}.begun"))
            relay.cut()
            futures = [pool.submit(add, number) for number in range(500)]
            relay.cut()
            open(gate, "w").close()
            assert [future.result() for future in futures] == list(range(1, 501))
            assert held.result() > 0


def test_a_coordinator_that_goes_away_breaks_the_pool_once_it_is_not_back(tmp_path):
    path = str(tmp_path / "never")
    with Cluster(str(tmp_path)) as cluster:
        cluster.add_worker()
        with poolmap.Executor(cluster=cluster.access, ship=[TASKS]) as pool:
            futures = [pool.submit(wait_for, path) for _ in range(3)]
            eventually(lambda: os.path.exists(f"{path}.begun"))
            cluster.coordinator.kill()
            done = concurrent.futures.wait(futures, timeout=50).done
            assert len(done) == 3
            for future in futures:
                assert isinstance(future.exception(), poolmap.PoolBroken)
                assert "coordinator" in str(future.exception())
            with pytest.raises(poolmap.PoolBroken):
                pool.submit(abs, 1)
