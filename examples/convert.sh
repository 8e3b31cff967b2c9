#!/bin/sh
# Convert files with a command, one task a file; the originals stay.
#
#     examples/convert.sh FILE...
set -eu

# Each file compressed beside itself. {} is the file as it was given: no shell in between, so any name is safe.
poolmap run -- gzip --keep --force {} ::: "$@"

# Two lists give all combinations: {1} is the file, {2} the level. The redirections need a shell, so --shell starts
# one per task and quotes each value for it.
poolmap run --shell -- 'gzip -{2} <{1} >{1}.level{2}.gz' ::: "$@" ::: 1 9

# Sizes, in the order of the files: -k keeps the order of the input, --tag names the file before each line.
poolmap run -k --tag -- wc -c {}.gz ::: "$@"
