#!/usr/bin/env bash
# Fails with an explanation if the user is not root. Usage: need-root.sh COMMAND
set -euo pipefail
if [ "$(id -u)" -ne 0 ]; then
  echo "$1 creates network namespaces and sends packets between them, which needs root: sudo -E env PATH=\"\$PATH\" $1" >&2
  exit 1
fi
