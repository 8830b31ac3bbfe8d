#!/usr/bin/env bash
# hack/manifests.sh IMAGE prints config/default with that image as one file.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:?name the image, such as sluice:0.1.0}

mkdir -p bin
overlay=$(mktemp -d bin/overlay.XXXXXX)
trap 'rm -rf "$overlay"' EXIT
# A colon before the last slash is that of a port.
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
