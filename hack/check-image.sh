#!/usr/bin/env bash
# Builds the image twice with buildah and checks these properties:
#
#  - The image runs as a non-root user.
#  - The image contains only the binary and the license.
#  - The files in the image have at most 60 MB.
#  - The image supports both platforms.
#  - The same files produce the same image in any folder and under any image name.
#  - `make release` builds an image with the same files and configuration.
#
# Needs buildah and root.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "check-image: $*" >&2; exit 1; }
command -v buildah >/dev/null || fail "buildah is missing. On Debian: apt-get install buildah"

export BUILDER=buildah VERSION IMAGE PLATFORMS REVISION SOURCE_DATE_EPOCH
VERSION=$(cat VERSION)
REVISION=$(git describe --always --abbrev=40 --exclude='*' --dirty)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
PLATFORMS=linux/amd64,linux/arm64
# The two builds have different kinds of names, because buildah stores an image
# under localhost/ only if its name has no registry.
plain=sluice-check:$VERSION
with_registry=registry.example:5000/team/sluice-check:$VERSION
# Separate storage for layers, removed at the end.
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

# build SCRIPT IMAGE builds for both platforms and prints the image IDs.
build() {
  IMAGE=$2
  "$1" build >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; fail "building $IMAGE failed"; }
  [ "$(buildah manifest inspect "$IMAGE" | grep -c '"architecture"')" = 2 ] ||
    fail "the manifest list $IMAGE does not have two platforms"
  local arch
  for arch in amd64 arm64; do
    buildah inspect --type image --format '{{.FromImageID}} ' "$IMAGE-$arch"
  done
}

# A copy of the files in another folder, without the git history.
mkdir "$scratch/copy"
git ls-files -z --cached --others --exclude-standard |
  while IFS= read -r -d '' file; do
    if [ -e "$file" ]; then printf '%s\0' "$file"; fi
  done |
  tar --null --files-from=- -c | tar -x -C "$scratch/copy"
first=$(build "$scratch/copy/hack/image.sh" "$plain")
second=$(build hack/image.sh "$with_registry")
[ "$first" = "$second" ] || fail "two builds of the same files differ: $first and $second"

IMAGE=$plain
arch=$(go env GOARCH)
user=$(buildah inspect --type image --format '{{.OCIv1.Config.User}}' "$IMAGE-$arch")
[ "$user" = 65532:65532 ] || fail "the image runs as user $user, want 65532:65532"
container=$(buildah from "$IMAGE-$arch")
root=$(buildah mount "$container")
files=$(cd "$root" && find . -type f | sort | paste -sd' ')
[ "$files" = "./LICENSE ./sluice" ] || fail "the image contains $files, want ./LICENSE ./sluice"
size=$(du -sb "$root" | cut -f1)
[ "$size" -le 60000000 ] || fail "the files in the image have $size bytes, want at most 60 MB"
# The image that `make release` builds without buildah.
configuration() {
  buildah inspect --type image --format '{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}} {{range $key, $value := .OCIv1.Config.Labels}}
{{$key}}={{$value}}{{end}}' "$1" | grep -v '^io.buildah.version='
}
go -C hack/release run . image -root "$PWD" -out "$scratch/release.tar" >/dev/null
released=$(buildah pull --quiet "oci-archive:$scratch/release.tar")
difference=$(diff <(configuration "$IMAGE-$arch") <(configuration "$released")) || fail "make release configures the image differently: $difference"
# files_of prints the files in a directory with their modes, owners, times and checksums.
files_of() { (cd "$1" && find . -type f -printf '%p %m %U:%G %T@\n' -exec sha256sum {} \; | sort); }
other=$(buildah from "$released")
difference=$(diff <(files_of "$root") <(files_of "$(buildah mount "$other")")) || fail "make release builds an image with other files: $difference"
buildah umount "$other" >/dev/null

# Run this command last, because it adds files to the container.
version=$(buildah run --isolation chroot "$container" -- /sluice --version)
[[ $version == "sluice $VERSION, commit ${REVISION:0:12}"* ]] ||
  fail "sluice --version prints '$version', want version $VERSION and commit $REVISION"
buildah umount "$container" >/dev/null

PLATFORMS=linux/$arch hack/image.sh archive >"$scratch/log" 2>&1 || { cat "$scratch/log"; fail "the archive failed"; }
tar -xOf "dist/sluice-$VERSION-linux-$arch.tar" manifest.json | grep -q "\"docker.io/library/$IMAGE\"" ||
  fail "the archive does not name $IMAGE"
rm "dist/sluice-$VERSION-linux-$arch.tar"
echo "image: $version; $size bytes; user $user; IDs in both builds: $second"
