#!/usr/bin/env bash
# hack/image.sh build    builds the image IMAGE for PLATFORMS
# hack/image.sh archive  builds it for each of PLATFORMS and writes dist/sluice-VERSION-OS-ARCH.tar,
#                        which `ctr images import`, `docker load` and `podman load` read
#
# It takes docker, podman or buildah, the first that works; BUILDER names one.
# The same commit gives the same image: binaries name no path and no build,
# and all times are that of the commit.
set -euo pipefail
cd "$(dirname "$0")/.."

# Debian keeps Go, and buildah its helpers, where not every PATH looks.
PATH="$PATH:/usr/local/go/bin:/usr/sbin:/sbin"
GO=${GO:-go}
VERSION=${VERSION:-$(cat VERSION)}
IMAGE=${IMAGE:-sluice:$VERSION}
PLATFORMS=${PLATFORMS:-linux/$("$GO" env GOARCH)}
REVISION=${REVISION:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
context=bin/image

# works BUILDER says whether it is there and answers.
works() {
  command -v "$1" >/dev/null || return 1
  case $1 in
    docker) docker info >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1 ;;
    podman) podman info >/dev/null 2>&1 ;;
    buildah) buildah info >/dev/null 2>&1 ;;
  esac
}

pick() {
  local builder
  for builder in ${BUILDER:-docker podman buildah}; do
    if works "$builder"; then
      echo "$builder"
      return
    fi
  done
  echo "building an image needs one of: docker with buildx and a daemon that answers, podman, or buildah." >&2
  echo "Here none of these works: ${BUILDER:-docker podman buildah}. On Debian: apt-get install buildah" >&2
  return 1
}

# On a file system that cannot hold another overlay, buildah and podman keep
# whole copies of layers; STORAGE_DRIVER=overlay asks for overlays anyway.
if [ "$(stat -f -c %T /)" = overlayfs ]; then export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs}; fi
# They run nothing while they build, so they need no isolation that asks for rights.
export BUILDAH_ISOLATION=chroot

builder=$(pick)

# binaries builds what the image holds, for each platform.
binaries() {
  rm -rf "$context"
  mkdir -p "$context"
  local platform
  for platform in ${PLATFORMS//,/ }; do
    [ "${platform%%/*}" = linux ] || { echo "PLATFORMS: $platform: write linux/ARCH, separated by commas" >&2; return 2; }
    CGO_ENABLED=0 GOOS=linux GOARCH=${platform#linux/} "$GO" build -trimpath \
      -ldflags "-s -w -buildid= -X main.version=$VERSION" -o "$context/sluice-linux-${platform#linux/}" ./cmd/sluice
  done
  cp LICENSE "$context/LICENSE"
  chmod 0755 "$context"/sluice-*
  chmod 0644 "$context/LICENSE"
  touch -d "@$SOURCE_DATE_EPOCH" "$context"/* "$context"
}

# build IMAGE PLATFORM builds for one platform.
build() {
  local arguments=(--platform "$2" --file Dockerfile --tag "$1"
    --build-arg "TARGETARCH=${2#linux/}" --build-arg "VERSION=$VERSION" --build-arg "REVISION=$REVISION")
  case $builder in
    docker) docker buildx build "${arguments[@]}" --provenance=false --load "$context" ;;
    podman) podman build "${arguments[@]}" --timestamp "$SOURCE_DATE_EPOCH" "$context" ;;
    buildah) buildah build "${arguments[@]}" --timestamp "$SOURCE_DATE_EPOCH" "$context" ;;
  esac
}

# build_all builds IMAGE for all platforms, as a list if they are several.
build_all() {
  if [[ $PLATFORMS != *,* ]]; then
    build "$IMAGE" "$PLATFORMS"
    return
  fi
  if [ "$builder" = docker ]; then
    docker buildx build --platform "$PLATFORMS" --file Dockerfile --tag "$IMAGE" --provenance=false \
      --build-arg "VERSION=$VERSION" --build-arg "REVISION=$REVISION" --load "$context"
    return
  fi
  "$builder" manifest rm "$IMAGE" >/dev/null 2>&1 || true
  "$builder" manifest create "$IMAGE"
  local platform
  for platform in ${PLATFORMS//,/ }; do
    build "$IMAGE-${platform#linux/}" "$platform"
    "$builder" manifest add "$IMAGE" "containers-storage:localhost/${IMAGE#localhost/}-${platform#linux/}"
  done
}

# archive PLATFORM writes the archive of one platform.
archive() {
  local file=dist/sluice-$VERSION-${1/\//-}.tar
  mkdir -p dist
  rm -f "$file"
  build "$IMAGE" "$1"
  case $builder in
    docker) docker save --output "$file" "$IMAGE" ;;
    podman) podman save --format docker-archive --output "$file" "$IMAGE" ;;
    buildah) buildah push --quiet "$IMAGE" "docker-archive:$file:$IMAGE" ;;
  esac
  echo "$file"
}

case ${1:-} in
  build)
    binaries
    build_all
    ;;
  archive)
    binaries
    for platform in ${PLATFORMS//,/ }; do archive "$platform"; done
    ;;
  *)
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
