#!/usr/bin/env bash
# Prints config/default as one file, with the image IMAGE. Usage: manifests.sh IMAGE
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:?usage: manifests.sh IMAGE, for example manifests.sh sluice:0.1.0}

mkdir -p bin
overlay=$(mktemp -d bin/overlay.XXXXXX)
trap 'rm -rf "$overlay"' EXIT
# A colon before the last slash separates a port, not a tag.
if [[ $image == *@* ]]; then
  fields="newName: ${image%%@*}, digest: ${image#*@}"
elif [[ ${image##*/} == *:* ]]; then
  fields="newName: ${image%:*}, newTag: \"${image##*:}\""
else
  fields="newName: $image, newTag: latest"
fi
cat >"$overlay/kustomization.yaml" <<END
resources: [../../config/default]
images: [{name: sluice, $fields}]
END
"${GO:-go}" tool -modfile=hack/tools/go.mod kustomize build "$overlay"
