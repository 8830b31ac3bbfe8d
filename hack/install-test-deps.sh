#!/usr/bin/env bash
# Installs the programs that tests use to inspect results or to measure. On
# Debian and distributions based on Debian, the script installs missing programs. On
# other systems, the script lists them. Sluice itself does not need these programs.
set -euo pipefail

# program  Debian package
wanted="
nft        nftables
chromium   chromium
openssl    openssl
"

missing_programs=() missing_packages=()
while read -r program package; do
  [ -n "$program" ] || continue
  if ! PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null; then
    missing_programs+=("$program")
    missing_packages+=("$package")
  fi
done <<<"$wanted"
[ "${#missing_programs[@]}" -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "tests need these programs; install them: ${missing_programs[*]}" >&2
  exit 1
fi
echo "installing for tests: ${missing_packages[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends "${missing_packages[@]}" >/dev/null
