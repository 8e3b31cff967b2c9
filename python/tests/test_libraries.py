"""Libraries that take an executor, a pool or a `map`."""

import pytest
from conftest import needed
from tasks import add

import poolmap


@pytest.fixture(scope="module")
def joblib():
    joblib = needed("joblib")
    poolmap.joblib.register()
    return joblib


def test_joblib_runs_its_calls(joblib):
    with joblib.parallel_config("poolmap", n_jobs=2):
        assert joblib.Parallel()(joblib.delayed(add)(number) for number in range(100)) == list(range(1, 101))
        with pytest.raises(ValueError):
            joblib.Parallel()(joblib.delayed(int)(text) for text in ["1", "x"])
        again = joblib.Parallel(return_as="generator")(joblib.delayed(add)(number) for number in range(10))
        assert list(again) == list(range(1, 11)), "the backend serves the next call"


def test_joblib_limits_what_is_nested(joblib):
    def nested(number):
        return joblib.Parallel(n_jobs=2)(joblib.delayed(add)(number + each) for each in range(2))

    with joblib.parallel_config("poolmap", n_jobs=2):
        assert joblib.Parallel()(joblib.delayed(nested)(number) for number in (1, 5)) == [[2, 3], [6, 7]]


def test_joblib_counts_processors_from_the_end(joblib):
    from poolmap.joblib import Backend

    every = poolmap.pool_size(1)
    assert Backend().effective_n_jobs(-1) == every
    assert Backend().effective_n_jobs(-1000) == 1
    with pytest.raises(ValueError):
        Backend().effective_n_jobs(0)


def test_scikit_learn_validates_and_searches(joblib):
    needed("sklearn")
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, cross_val_score

    data, target = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500)
    expected = cross_val_score(model, data, target)
    search = GridSearchCV(model, {"C": [0.1, 1.0]})
    with joblib.parallel_config("poolmap", n_jobs=2):
        assert list(cross_val_score(model, data, target)) == list(expected)
        assert search.fit(data, target).best_params_["C"] in (0.1, 1.0)


def test_dask_computes_with_the_executor(pool):
    dask = needed("dask")
    total = dask.delayed(sum)([dask.delayed(add)(number) for number in range(10)])
    assert total.compute(scheduler=pool) == 55


def test_scipy_evaluates_by_the_pools_map():
    optimize = needed("scipy.optimize")
    with poolmap.Pool(2) as pool:
        found = optimize.differential_evolution(
            optimize.rosen, [(0, 2), (0, 2)], workers=pool.map, updating="deferred", seed=1, maxiter=60
        )
    assert abs(found.x - 1).max() < 0.1


def test_tqdm_shows_what_is_done(pool, capsys):
    tqdm = needed("tqdm")
    assert list(tqdm.tqdm(pool.map(add, range(5)), total=5)) == [1, 2, 3, 4, 5]
    assert list(pool.map(add, range(7), progress=True)) == list(range(1, 8))
    assert "7/7" in capsys.readouterr().err
