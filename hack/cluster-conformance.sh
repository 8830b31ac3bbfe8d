#!/usr/bin/env bash
# Runs the unmodified conformance tests of the Network Policy API on the cluster of KUBECONFIG,
# and writes their report to a file. Sluice must already be installed on the cluster.
# Usage: cluster-conformance.sh VERSION EVIDENCE FILE
# EVIDENCE is a link that shows how the report was written.
set -euo pipefail
usage='usage: cluster-conformance.sh VERSION EVIDENCE FILE'
version=${1:?$usage}
evidence=${2:?$usage}
report=$(realpath -m "${3:?$usage}")
cd "$(dirname "$0")/.."
kubectl=${KUBECTL:-kubectl}
go=${GO:-go}
module=sigs.k8s.io/network-policy-api
website=https://github.com/sluicenet/sluice

fail() {
  echo "cluster-conformance: $1" >&2
  exit 1
}

# The manifests contain a StatefulSet with two pods that use the same host ports.
nodes=$($kubectl get nodes -o name | wc -l)
[ "$nodes" -ge 2 ] || fail "the cluster has $nodes node(s), but the tests need two"
# The tests require that denied connections time out.
action=$($kubectl get enforcers.policy.sluice.dev -o 'jsonpath={.items[*].spec.denyAction}')
[ "$action" = Drop ] || fail "spec.denyAction of the Enforcer is '$action', but the tests need Drop"

definition=policy.networking.k8s.io_clusternetworkpolicies.yaml
$kubectl apply --server-side -f "$($go list -m -f '{{.Dir}}' $module)/config/crd/experimental/$definition"
$kubectl wait --for=condition=Established --timeout=1m crd/clusternetworkpolicies.policy.networking.k8s.io
mkdir -p "$(dirname "$report")"
$go test -v -count=1 -timeout=90m -run '^TestConformanceProfiles$' $module/conformance -args \
  --conformance-profiles=ClusterNetworkPolicy \
  --all-features \
  --organization=sluicenet \
  --project=sluice \
  --url=$website \
  --version="$version" \
  --contact=$website/issues/new \
  --additional-info="$evidence" \
  --report-output="$report"
echo "wrote $report"
