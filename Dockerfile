# The image of the agent, the dataplane and the operator: one static binary and
# the license. The build context is a folder in which hack/image.sh has built the
# binaries, so that building the image needs neither a network nor an emulator.
FROM scratch
ARG TARGETARCH
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="Sluice" \
      org.opencontainers.image.description="Enforces Kubernetes NetworkPolicies by evaluating only the first packet of each flow" \
      org.opencontainers.image.source="https://github.com/sluicenet/sluice" \
      org.opencontainers.image.documentation="https://github.com/sluicenet/sluice/tree/main/docs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY sluice-linux-${TARGETARCH} /sluice
COPY LICENSE /LICENSE
# The pod of the dataplane sets another user for its container.
USER 65532:65532
ENTRYPOINT ["/sluice"]
