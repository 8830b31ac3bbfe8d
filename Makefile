# Everything a contributor runs. `make help` lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The binary is static; nothing in it needs C.
export CGO_ENABLED := 0

GO       ?= go
FUZZTIME ?= 10s
# The version that `sluice --version` prints and that images are tagged with.
VERSION ?= $(shell cat VERSION)
BUILDINFO := github.com/sluicenet/sluice/internal/buildinfo
# For `make image`, `make deploy`, `make dist` and `make chart`: the image's name and tag, and its
# platforms, separated by commas.
IMAGE     ?= sluice:$(VERSION)
PLATFORMS ?= linux/$(shell $(GO) env GOARCH)
# For `make catalog`: the image that contains bundle/.
BUNDLE_IMAGE ?= sluice-bundle:$(VERSION)
# For `make release` and `make verify-release`: the registry and path of the images, and the PEM
# file with the private key (release) or the public key (verify-release).
REPOSITORY  ?= ghcr.io/sluicenet
RELEASE_KEY ?=
# For `make release`: the platforms for which the release contains only the client, separated by
# spaces. By default, these are macOS and Windows.
CLIENTS     ?=
# For `make test`: the packages and more flags for go test.
PACKAGES  ?= ./...
TESTFLAGS ?=
# For conformance reports: the tested commit, and a link to the public CI run that wrote the report.
SNAPSHOT ?= $(shell git describe --tags --always --dirty)
EVIDENCE ?= https://github.com/sluicenet/sluice/blob/main/docs/testing.md\#conformance-tests
# For `make demo`, `make lab` and `make cluster-e2e`: arguments, such as
# '-f my-manifests', '--nodes 5' or '-kill-operator 5s'.
ARGS ?=

# Empty for root; otherwise the command that becomes root and keeps the environment.
as_root := $(if $(filter 0,$(shell id -u)),,sudo -E)

# The kube-apiserver and etcd for tests that need an API server. The first build
# takes minutes; afterwards they are in the user's cache.
kube_assets = KUBEBUILDER_ASSETS="$$(nice -n 19 $(GO) run ./hack/kubeassets)"

# Tools have a separate module, so that no program gets their dependencies. Go
# builds a tool once and keeps it in the user's build cache.
tool := $(GO) tool -modfile=hack/tools/go.mod

# The checks of the OLM bundle have a separate module, too. The build tag leaves
# out a C library for image signatures.
olm = GOFLAGS=-tags=containers_image_openpgp $(GO) -C hack/olm
# The program that builds releases is a separate module.
release = $(GO) -C hack/release run .

# The tests of the Helm chart are a separate module.
helm = $(GO) -C hack/helm

##@ Try it

.PHONY: demo
demo: build ## Enforce the example policies on real connections between network namespaces (needs root)
	$(GO) build -trimpath -o bin/sluice-demo ./cmd/sluice-demo
	$(as_root) bin/sluice-demo $(ARGS)

.PHONY: lab
lab: build ## Run a cluster of namespaces with a real API server until Ctrl-C (needs root)
	@hack/need-root.sh "make lab"
	@$(GO) build -trimpath -o bin/lab ./hack/lab
	@$(kube_assets) && export KUBEBUILDER_ASSETS && exec bin/lab $(ARGS)

.PHONY: unit
unit: ## Run the tests that need neither root nor an API server
	$(GO) run ./hack/unit $(TESTFLAGS)

.PHONY: test
test: ## Run all tests, including those with real packets (needs root)
	hack/need-root.sh "make test"
	hack/install-test-deps.sh
	$(kube_assets) && export KUBEBUILDER_ASSETS && \
		$(GO) test -count=1 -timeout=20m $(TESTFLAGS) $(PACKAGES)
	$(olm) test -count=1 ./...
	$(GO) -C hack/release test -count=1 ./...
	$(kube_assets) && export KUBEBUILDER_ASSETS && $(helm) test -count=1 ./...

.PHONY: conformance-report
conformance-report: ## Run the conformance tests and write dist/conformance-report.yaml (needs root)
	hack/need-root.sh "make conformance-report"
	mkdir -p dist
	$(kube_assets) && export KUBEBUILDER_ASSETS && \
		$(GO) test -count=1 -timeout=20m ./test/conformance -run '^TestConformance$$' \
			-args -version '$(SNAPSHOT)' -evidence '$(EVIDENCE)' \
			-report '$(CURDIR)/dist/conformance-report.yaml'

##@ Build

.PHONY: build
build: ## Build bin/sluice, and the completion of the kubectl plugin
	$(GO) build -trimpath -ldflags '-s -w -X $(BUILDINFO).version=$(VERSION)' -o bin/sluice ./cmd/sluice
	install -m 0755 cmd/sluice/internal/completion/kubectl_complete-sluice bin/

.PHONY: ui
ui: ## Build ui/dist, the assets of the page, with npm
	cd ui/web && npm ci --ignore-scripts --no-audit --no-fund && npm run check && npm run build

.PHONY: site
site: ## Write the documentation as HTML pages to dist/site
	rm -rf dist/site
	$(GO) run ./hack/site . dist/site

.PHONY: image
image: ## Build the image IMAGE (sluice:VERSION) for PLATFORMS with docker, podman or buildah
	VERSION='$(VERSION)' IMAGE='$(IMAGE)' PLATFORMS='$(PLATFORMS)' hack/image.sh build

.PHONY: image-archive
image-archive: ## Build the image into dist/sluice-VERSION-OS-ARCH.tar, for use without a registry
	VERSION='$(VERSION)' IMAGE='$(IMAGE)' PLATFORMS='$(PLATFORMS)' hack/image.sh archive

.PHONY: dist
dist: ## Write dist/install.yaml: config/default in one file, with IMAGE
	mkdir -p dist
	GO='$(GO)' hack/manifests.sh '$(IMAGE)' >dist/install.yaml

.PHONY: chart
chart: ## Package the Helm chart into dist/sluice-VERSION.tgz, with IMAGE in its values
	$(GO) run ./hack/chart -package dist -image '$(IMAGE)'

.PHONY: bundle
bundle: ## Generate bundle/, which OLM installs, from config/, with IMAGE
	IMAGE='$(IMAGE)' $(GO) run ./hack/bundle

.PHONY: catalog
catalog: ## Write dist/catalog/, a file-based catalog with the bundle image BUNDLE_IMAGE
	mkdir -p dist/catalog
	$(olm) run . catalog -bundle "$(CURDIR)/bundle" -image '$(BUNDLE_IMAGE)' >dist/catalog/catalog.yaml

.PHONY: release
release: ## Write all artefacts of VERSION to dist/release/VERSION, signed with RELEASE_KEY
	$(release) build -root '$(CURDIR)' -version '$(VERSION)' -repository '$(REPOSITORY)' \
		$(if $(CLIENTS),-clients '$(CLIENTS)') -key '$(abspath $(RELEASE_KEY))' -out '$(CURDIR)/dist/release/$(VERSION)'

.PHONY: verify-release
verify-release: ## Verify dist/release/VERSION with the public key RELEASE_KEY
	$(release) verify -key '$(abspath $(RELEASE_KEY))' '$(CURDIR)/dist/release/$(VERSION)'

.PHONY: generate
generate: ## Regenerate all generated files
	$(GO) generate ./...
	$(GO) mod tidy
	$(GO) -C hack/olm mod tidy
	$(GO) -C hack/release mod tidy
	$(helm) mod tidy

.PHONY: kube-assets
kube-assets: ## Build the kube-apiserver and etcd that tests start, and print their folder
	@nice -n 19 $(GO) run ./hack/kubeassets

.PHONY: fmt
fmt: ## Format all Go files
	$(tool) golangci-lint fmt ./...

.PHONY: clean
clean: ## Remove bin/ and dist/
	rm -rf bin dist

##@ Install on the current cluster of kubectl

KUBECTL ?= kubectl

.PHONY: install
install: ## Install only the CRDs
	$(KUBECTL) apply --server-side -k config/crd

.PHONY: deploy
deploy: dist ## Install everything except the Enforcer, with IMAGE
	$(KUBECTL) apply --server-side -f dist/install.yaml
	$(KUBECTL) -n sluice-system rollout status deployment/sluice-operator --timeout=3m

.PHONY: undeploy
undeploy: dist ## Delete the Enforcer, which cleans the nodes, then everything else
	$(KUBECTL) delete enforcers.policy.sluice.dev --all --ignore-not-found --timeout=10m
	$(KUBECTL) delete -f dist/install.yaml --ignore-not-found

##@ Check

.PHONY: lint
lint: ## Check style, words and import directions, and that the import rules work
	$(tool) golangci-lint run ./...
	cd hack/release && $(GO) tool -modfile=../tools/go.mod golangci-lint run ./...
	cd hack/olm && $(GO) tool -modfile=../tools/go.mod golangci-lint run --build-tags=containers_image_openpgp ./...
	cd hack/helm && $(GO) tool -modfile=../tools/go.mod golangci-lint run ./...
	$(GO) run ./hack/words .
	$(GO) run ./hack/importrule "$$($(tool) -n golangci-lint)"

.PHONY: vulncheck
vulncheck: ## Check the programs for known vulnerabilities (needs a module proxy)
	$(GO) run ./hack/vulncheck

.PHONY: check-generated
check-generated: ## Check that generated files are up to date
	hack/check-generated.sh

.PHONY: check-image
check-image: ## Build the image twice with buildah and check its properties (needs root)
	hack/check-image.sh

.PHONY: cluster-e2e
cluster-e2e: build ## Deploy IMAGE on the cluster of KUBECONFIG and test it; AGNHOST is the image of the test clients
	$(GO) run ./hack/clustere2e -image "$(IMAGE)" -agnhost "$(AGNHOST)" $(ARGS)

.PHONY: cluster-conformance
cluster-conformance: ## Run the unmodified conformance tests on the cluster of KUBECONFIG
	KUBECTL='$(KUBECTL)' GO='$(GO)' hack/cluster-conformance.sh \
		'$(SNAPSHOT)' '$(EVIDENCE)' dist/cluster-conformance-report.yaml

.PHONY: race
race: ## Run all tests with the race detector (needs root and a C compiler)
	hack/need-root.sh "make race"
	hack/install-test-deps.sh
	$(kube_assets) && export KUBEBUILDER_ASSETS && \
		CGO_ENABLED=1 $(GO) test -race -count=1 -timeout=40m $(TESTFLAGS) $(PACKAGES)

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (10s)
	hack/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## Run all benchmarks and compare the results with their limits; ARGS=-enforce fails if one is over
	$(GO) run ./hack/benchtable $(ARGS)

.PHONY: help
help: ## Print this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
