#!/bin/sh
# Builds the wheel and uses it in an empty environment, in an empty directory: the checkout is out of sight.
set -eu
bin=$(cd "$1" && pwd)
top=$(pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"$bin/uv" build --quiet --wheel --out-dir "$place/dist" "$top"
"$bin/uv" venv --quiet --python "$bin/python" "$place/venv"
"$bin/uv" export --quiet --frozen --no-dev --extra fast --no-emit-project --output-file "$place/requirements.txt"
"$bin/uv" pip install --quiet --python "$place/venv/bin/python" -r "$place/requirements.txt" "$place"/dist/*.whl
cd "$place"
venv/bin/python -I -c 'import tidegate, schemas, streams, detectors, diagnosis, actions, learning, simulation; print("wheel", tidegate.__version__)'
venv/bin/tidegate doctor --json | tail -n 1 | venv/bin/python -c 'import json, sys; assert json.load(sys.stdin)["ok"]'
venv/bin/tidegate demo --json | tail -n 1 | venv/bin/python -c 'import json, sys; d = json.load(sys.stdin); assert d["incidents"][0]["hypotheses"][0]["cause"]["entity"] == "checkout", d["incidents"]; print("demo from the wheel:", d["digest"])'
venv/bin/tidegate policy test --json | tail -n 1
venv/bin/tidegate runbook test --json | tail -n 1
