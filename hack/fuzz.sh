#!/usr/bin/env bash
# Runs every fuzz target of the project for DURATION. Usage: fuzz.sh DURATION
set -euo pipefail
cd "$(dirname "$0")/.."

duration=${1:?usage: fuzz.sh DURATION, for example fuzz.sh 10s}
targets=$(grep -r --include='*_test.go' -oE '^func Fuzz[A-Za-z0-9_]*' . || true)
if [ -z "$targets" ]; then
  echo "no fuzz target found" >&2
  exit 1
fi
while IFS=: read -r file declaration; do
  target=${declaration#func }
  echo "== $target in $(dirname "$file")"
  # By default, Go spends up to a minute on shortening each input that reaches new code.
  "${GO:-go}" test -run='^$' -fuzz="^$target\$" -fuzztime="$duration" -fuzzminimizetime=10x "$(dirname "$file")"
done <<<"$targets"
