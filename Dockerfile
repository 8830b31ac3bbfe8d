# The image of agent, dataplane and operator: one static binary, nothing else.
# Its context is the folder that hack/image.sh fills with binaries built
# beforehand, so that no build needs a network or an emulator.
FROM scratch
ARG TARGETARCH
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="Sluice" \
      org.opencontainers.image.description="Enforces Kubernetes NetworkPolicies by judging only the first packet of each flow" \
      org.opencontainers.image.source="https://github.com/sluicenet/sluice" \
      org.opencontainers.image.documentation="https://github.com/sluicenet/sluice/tree/main/docs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY sluice-linux-${TARGETARCH} /sluice
COPY LICENSE /LICENSE
# The dataplane alone runs as another user, which its pod says.
USER 65532:65532
ENTRYPOINT ["/sluice"]
