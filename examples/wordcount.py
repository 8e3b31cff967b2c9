"""Count the words of many files, one task a file, and add the counts up.

    find . -name '*.md' -not -path './target/*' |
        poolmap run --lines --output value examples/wordcount.py:count - |
        python3 examples/wordcount.py

Files are read where the tasks run; only counts travel. A file that cannot be read is reported on stderr, and the
others still count.
"""

import collections
import json
import re
import sys

WORD = re.compile(r"[^\W\d_]+")


def count(path):
    """The task: how often each word stands in a file."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return collections.Counter(word.lower() for line in file for word in WORD.findall(line))


def main():
    """Adds up what the tasks counted, and prints the twenty most frequent words."""
    total = collections.Counter()
    for line in sys.stdin:
        total.update(json.loads(line))
    for word, times in total.most_common(20):
        print(f"{times:8} {word}")


if __name__ == "__main__":
    main()
