"""The smallest job: one function, four argument tuples.

    poolmap run examples/pokemon.py:do_work examples/pokemon.jsonl
"""


def do_work(a, b, c):
    return f"Pokemon#{a}{b}{c}"
