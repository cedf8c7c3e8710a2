#!/usr/bin/env bash
# One call of at most nine minutes on a machine with one GPU: the tests that need one, then benchmarks/speed/gpu.py.
#
#   bash benchmarks/speed/gpu.sh FOLDER            writes FOLDER/gpu.json and FOLDER/gpu.log; called again, it goes on
#   DRY=1 bash benchmarks/speed/gpu.sh FOLDER      the same in small on a processor: shows that everything runs
#
# WHEELS=folder installs from wheels that were carried along, and downloads nothing. PYTHON chooses the interpreter.
set -uo pipefail
out=${1:?name a folder for the results}
python=${PYTHON:-python}
mkdir -p "$out"
log=$out/gpu.log
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-8}
export PYTHONPATH=$(cd "$(dirname "$0")/../.." && pwd)${PYTHONPATH:+:$PYTHONPATH}
if [ -n "${WHEELS:-}" ]; then
    "$python" -m pip install --no-index --no-deps "$WHEELS"/*.whl >>"$log" 2>&1 || echo "some wheels did not install, see $log"
fi
dry=${DRY:+--dry}
if [ -z "$dry" ] && [ ! -e "$out/tests.done" ]; then
    timeout 120 "$python" -m pytest -q -k cuda "$PYTHONPATH/tests" >>"$log" 2>&1 && touch "$out/tests.done"
    tail -n 1 "$log"
fi
timeout 540 "$python" "$(dirname "$0")/gpu.py" --json "$out/gpu.json" $dry 2>>"$log" | tee -a "$log"
