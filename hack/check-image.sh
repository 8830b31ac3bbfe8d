#!/usr/bin/env bash
# Builds the image with buildah and checks what it promises: it runs, as nobody
# in particular, with nothing else in it, is small, has both platforms, and the
# same files give the same image wherever they lie. Needs buildah and root.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "check-image: $*" >&2; exit 1; }
command -v buildah >/dev/null || fail "buildah is missing. On Debian: apt-get install buildah"

export BUILDER=buildah VERSION IMAGE PLATFORMS REVISION SOURCE_DATE_EPOCH
VERSION=$(cat VERSION)
REVISION=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
IMAGE=sluice-check:$VERSION
PLATFORMS=linux/amd64,linux/arm64
# Layers of their own, which are removed at the end.
scratch=$(mktemp -d)
export CONTAINERS_STORAGE_CONF=$scratch/storage.conf STORAGE_DRIVER=vfs
cat >"$CONTAINERS_STORAGE_CONF" <<END
[storage]
driver = "vfs"
graphroot = "$scratch/storage"
runroot = "$scratch/run"
END
clean() {
  buildah rm --all >/dev/null 2>&1 || true
  rm -rf "$scratch"
}
trap clean EXIT

# A copy elsewhere, without the history that a clone has.
mkdir "$scratch/copy"
git ls-files -z --cached --others --exclude-standard |
  while IFS= read -r -d '' file; do
    if [ -e "$file" ]; then printf '%s\0' "$file"; fi
  done |
  tar --null --files-from=- -c | tar -x -C "$scratch/copy"
"$scratch/copy/hack/image.sh" build >"$scratch/log" 2>&1 || { cat "$scratch/log"; fail "the build failed"; }
for arch in amd64 arm64; do buildah inspect --type image --format '{{.FromImageID}}' "$IMAGE-$arch"; done >"$scratch/first"
hack/image.sh build >"$scratch/log" 2>&1 || { cat "$scratch/log"; fail "the build failed"; }
for arch in amd64 arm64; do buildah inspect --type image --format '{{.FromImageID}}' "$IMAGE-$arch"; done >"$scratch/second"
cmp -s "$scratch/first" "$scratch/second" ||
  fail "two builds of the same files differ: $(paste -sd' ' "$scratch/first") and $(paste -sd' ' "$scratch/second")"
[ "$(buildah manifest inspect "$IMAGE" | grep -c '"architecture"')" = 2 ] || fail "the list of platforms has not two entries"

arch=$(go env GOARCH)
user=$(buildah inspect --type image --format '{{.OCIv1.Config.User}}' "$IMAGE-$arch")
[ "$user" = 65532:65532 ] || fail "it runs as user $user, want 65532:65532"
container=$(buildah from "$IMAGE-$arch")
root=$(buildah mount "$container")
files=$(cd "$root" && find . -type f | sort | paste -sd' ')
[ "$files" = "./LICENSE ./sluice" ] || fail "it holds $files"
size=$(du -sb "$root" | cut -f1)
[ "$size" -le 60000000 ] || fail "it has $size bytes, want at most 60 MB"
said=$(buildah run --isolation chroot "$container" -- /sluice --version)
[[ $said == "sluice $VERSION, "* ]] || fail "sluice --version says '$said', want version $VERSION"
buildah umount "$container" >/dev/null

PLATFORMS=linux/$arch hack/image.sh archive >"$scratch/log" 2>&1 || { cat "$scratch/log"; fail "the archive failed"; }
tar -xOf "dist/sluice-$VERSION-linux-$arch.tar" manifest.json | grep -q "\"docker.io/library/$IMAGE\"" ||
  fail "the archive does not name $IMAGE"
rm "dist/sluice-$VERSION-linux-$arch.tar"
echo "image: $said; $size bytes; user $user; two builds gave $(paste -sd' ' "$scratch/second")"
