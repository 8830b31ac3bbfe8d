#!/usr/bin/env bash
# Makes sure that the programs some tests compare with or measure with are
# there. On Debian and its kin it installs them; elsewhere it says what is
# missing. The product itself needs none of them.
set -euo pipefail

# program  Debian package
wanted="
nft        nftables
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
  echo "tests need these programs, please install them: ${missing_programs[*]}" >&2
  exit 1
fi
echo "installing for tests: ${missing_packages[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends "${missing_packages[@]}" >/dev/null
