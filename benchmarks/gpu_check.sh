#!/bin/bash
# gpu_check.sh REPORT: builds, tests and measures on a machine with a GPU, in under eight minutes.
#
# It takes the machine's own Python (PYTHON, by default python3), without virtual environment or
# network: torch, DGL and the rest come from there or from PYTHONPATH. REPORT gets log.txt and the
# benchmarks' JSON. DEVICE=cpu SHRINK=100 rehearses it without a GPU on graphs of a hundredth.
set -u
PYTHON=${PYTHON:-python3} DEVICE=${DEVICE:-cuda} SHRINK=${SHRINK:-1}
END=460  # seconds for everything

if [ $# -ne 1 ] || [ -z "$1" ]; then
    echo "gpu-check: expected a folder for the report: make gpu-check REPORT=dir" >&2
    exit 1
fi
mkdir -p "$1" || exit 1
REPORT=$(cd "$1" && pwd)
cd "$(dirname "$0")/.." || exit 1
export PYTHONPATH=$PWD/src${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
LOG=$REPORT/log.txt
: >"$LOG"

say() { echo "gpu-check: $*" | tee -a "$LOG"; }

if ! why=$("$PYTHON" - "$DEVICE" 2>&1 <<'EOF'
import sys
from importlib.util import find_spec

for name in ("torch", "setuptools", "dgl", "pytest"):
    if find_spec(name) is None:
        sys.exit(f"{sys.executable} finds no {name}; PYTHONPATH can name its folder")
import setuptools
import torch

if sys.argv[1] == "cuda" and not torch.cuda.is_available():
    sys.exit(f"no GPU: torch {torch.__version__} of {sys.executable} finds none")
for module, least in ((torch, "2.10"), (setuptools, "77")):
    found = [int(part) for part in module.__version__.split("+")[0].split(".")[:2]]
    if found < [int(part) for part in least.split(".")]:
        sys.exit(f"{module.__name__} {module.__version__} is too old; {least} is needed")
EOF
); then
    say "$(tail -n 1 <<<"$why")" >&2
    exit 1
fi

FAILED=() UNFINISHED=()
step() { # step NAME SECONDS COMMAND...: for so long at most, and within what is left
    local name=$1 limit=$2 start=$SECONDS status
    shift 2
    if [ $((END - SECONDS)) -lt 10 ]; then
        UNFINISHED+=("$name")
        say "$name: not run, no time is left"
        return
    fi
    [ "$limit" -le $((END - SECONDS)) ] || limit=$((END - SECONDS))
    printf '\n== %s: %s\n' "$name" "$*" >>"$LOG"
    timeout -k 5 "$limit" "$@" >>"$LOG" 2>&1
    status=$?
    case $status in
        0) say "$name: done, $((SECONDS - start)) s" ;;
        124 | 137) UNFINISHED+=("$name") && say "$name: ended after $limit s" ;;
        *) FAILED+=("$name") && say "$name: failed with status $status" ;;
    esac
}

benchmark() { # benchmark NAME SECONDS ARGUMENTS...
    step "$1" "$2" "$PYTHON" -m infgrand_dgl benchmark "${@:3}" --device "$DEVICE"
}

shape() { # shape NAME SECONDS NODES ARGUMENTS...: one graph, influence and products
    benchmark "$1" "$2" all --only influence spmm propagate --out "$REPORT/$1" \
        --nodes $(($3 / SHRINK)) "${@:4}"
}

[ "$DEVICE" = cuda ] && export INFGRAND_DGL_CUDA=1 # no nvcc is an error
step build 240 "$PYTHON" setup.py -q egg_info build_ext --inplace
if [ ${#FAILED[@]} -gt 0 ]; then
    tail -n 20 "$LOG" >&2
    exit 1
fi
step info 30 "$PYTHON" -m infgrand_dgl info
step tests 120 "$PYTHON" -m pytest -p no:cacheprovider --ignore tests/ops/test_sanitized.py \
    tests/ops tests/nn tests/test_influence.py tests/test_measures.py tests/test_propagation.py \
    tests/test_distillation.py tests/test_pipeline.py tests/test_precompute.py tests/training
shape arxiv 60 169343 --style arxiv
shape products 150 2449029 --style products
sanitizer=$(command -v compute-sanitizer || command -v /usr/local/cuda/bin/compute-sanitizer)
if [ -n "$sanitizer" ] && [ "$DEVICE" = cuda ]; then
    step compute-sanitizer 60 "$sanitizer" --error-exitcode 1 "$PYTHON" -m pytest \
        -p no:cacheprovider -x -k "cuda and not opcheck" --ignore tests/ops/test_sanitized.py tests/ops
else
    say "compute-sanitizer: not found"
fi
arxiv=(--style arxiv --nodes $((169343 / SHRINK)))
for name in distill train inference; do
    benchmark $name 60 $name "${arxiv[@]}" --json "$REPORT/$name.json"
done
step arxiv-synthetic 90 "$PYTHON" -m infgrand_dgl train --config arxiv-synthetic --seeds 0 \
    --set data.nodes=$((169343 / SHRINK)) --device "$DEVICE" --overwrite --out "$REPORT/arxiv-run"
cp "$REPORT/arxiv-run/metrics.json" "$REPORT/arxiv-synthetic.json" && rm -r "$REPORT/arxiv-run"
shape reddit 120 232965 --style arxiv --degree 490 --features 602

say "$SECONDS s; failed: ${FAILED[*]:-none}; unfinished: ${UNFINISHED[*]:-none}; $LOG"
[ ${#FAILED[@]} -eq 0 ]
