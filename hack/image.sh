#!/usr/bin/env bash
# hack/image.sh build    builds the image IMAGE for PLATFORMS
# hack/image.sh archive  builds the image for each of PLATFORMS as dist/sluice-VERSION-OS-ARCH.tar,
#                        which `ctr images import`, `docker load` and `podman load` read
#
# The script uses the first of docker, podman and buildah that works; BUILDER selects one.
# The same commit produces the same image: binaries contain neither paths nor build
# IDs nor data that Go reads from git, and all times are the time of the commit.
set -euo pipefail
cd "$(dirname "$0")/.."

# Debian installs the helpers of buildah in /usr/sbin, and Go is often installed in
# /usr/local/go. Not every PATH contains these folders.
PATH="$PATH:/usr/local/go/bin:/usr/sbin:/sbin"
GO=${GO:-go}
VERSION=${VERSION:-$(cat VERSION)}
IMAGE=${IMAGE:-sluice:$VERSION}
PLATFORMS=${PLATFORMS:-linux/$("$GO" env GOARCH)}
REVISION=${REVISION:-$(git describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null || echo unknown)}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
context=bin/image

# works BUILDER reports whether BUILDER is installed and usable.
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
  echo "building an image needs one of: docker with buildx and a running daemon, podman, or buildah." >&2
  echo "None of these works on this machine: ${BUILDER:-docker podman buildah}. On Debian: apt-get install buildah" >&2
  return 1
}

# An overlay file system cannot contain another overlay. On such a file system,
# buildah and podman store full copies of layers instead (driver vfs). Set
# STORAGE_DRIVER=overlay to override this.
if [ "$(stat -f -c %T /)" = overlayfs ]; then export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs}; fi
# The Dockerfile has no RUN instruction, so builds do not need an isolation that
# requires privileges.
export BUILDAH_ISOLATION=chroot

builder=$(pick)

# binaries builds the content of the image for each platform.
binaries() {
  rm -rf "$context"
  mkdir -p "$context"
  local platform buildinfo=github.com/sluicenet/sluice/internal/buildinfo
  for platform in ${PLATFORMS//,/ }; do
    [ "${platform%%/*}" = linux ] || { echo "PLATFORMS: $platform: must be a list of linux/ARCH, separated by commas" >&2; return 2; }
    CGO_ENABLED=0 GOOS=linux GOARCH=${platform#linux/} "$GO" build -trimpath -buildvcs=false \
      -ldflags "-s -w -buildid= -X $buildinfo.version=$VERSION -X $buildinfo.revision=$REVISION" -o "$context/sluice-linux-${platform#linux/}" ./cmd/sluice
  done
  cp LICENSE "$context/LICENSE"
  chmod 0755 "$context"/sluice-*
  chmod 0644 "$context/LICENSE"
  touch -d "@$SOURCE_DATE_EPOCH" "$context"/* "$context"
}

# build IMAGE PLATFORM [ARGUMENT]... builds for one platform; further arguments
# go to the builder.
build() {
  local arguments=(--platform "$2" --file Dockerfile --tag "$1" "${@:3}"
    --build-arg "TARGETARCH=${2#linux/}" --build-arg "VERSION=$VERSION" --build-arg "REVISION=$REVISION")
  case $builder in
    docker) docker buildx build "${arguments[@]}" --provenance=false --load "$context" ;;
    podman) podman build "${arguments[@]}" --timestamp "$SOURCE_DATE_EPOCH" "$context" ;;
    buildah) buildah build "${arguments[@]}" --timestamp "$SOURCE_DATE_EPOCH" "$context" ;;
  esac
}

# build_all builds IMAGE for all platforms, as a manifest list if there are several.
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
    build "$IMAGE-${platform#linux/}" "$platform" --manifest "$IMAGE"
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
