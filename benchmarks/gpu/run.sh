#!/bin/sh
# The whole programme for a GPU, in less than 20 minutes; see programme.py for the options. Needs pip install '.[quant]'.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || python=python3
exec "$python" benchmarks/gpu/programme.py "$@"
