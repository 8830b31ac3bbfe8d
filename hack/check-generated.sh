#!/usr/bin/env bash
# Runs `make generate` on a copy of the work tree, prints the changes, and fails if
# a generated file changes. The work tree itself does not change, so uncommitted work is safe.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/committed"
git ls-files -z --cached --others --exclude-standard |
  while IFS= read -r -d '' file; do
    if [ -e "$file" ]; then printf '%s\0' "$file"; fi
  done |
  tar --null --files-from=- -c | tar -x -C "$scratch/committed"
cp -R "$scratch/committed" "$scratch/generated"

make -C "$scratch/generated" --no-print-directory generate
# Without npm, only the test of package ui compares the sources of the page with its assets.
if command -v npm >/dev/null; then
  make -C "$scratch/generated" --no-print-directory ui
  rm -rf "$scratch/generated/ui/web/node_modules"
fi
cd "$scratch"
if ! git --no-pager diff --no-index --stat -p committed generated; then
  echo "generated files are out of date: run 'make generate' and commit the result" >&2
  exit 1
fi
echo "generated files are up to date"
