#!/usr/bin/env bash
# Stops with a clear word when the caller is not root. Usage: need-root.sh COMMAND
set -euo pipefail
if [ "$(id -u)" -ne 0 ]; then
  echo "$1 sends real packets between network namespaces that it makes, and needs root: sudo -E env PATH=\"\$PATH\" $1" >&2
  exit 1
fi
