# All commands for working on left4me. `make` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
LINK := -ldflags '-s -w -X left4me/shared/fn.Version=$(VERSION)'
# Without Lambda's unused RPC mode, a function is smaller and starts faster.
BUILD := CGO_ENABLED=0 go build -trimpath -tags lambda.norpc $(LINK)
# The same without the embedded database, because Lambda has no disk for it. The result depends only on sources and version.
BUILD_NOFILE := CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags lambda.norpc,nofile $(LINK)
BUILD_LAMBDA := GOOS=linux GOARCH=arm64 $(BUILD_NOFILE)

ASSETS := templates/assets
HTMX   := $(ASSETS)/static/htmx.min.js
INFRA  := infra/aws

# The packages with concurrency in one process, except those that need the database: to compile it for the race detector takes as
# long as all their tests. `make race` tests those.
RACE := ./localrun/gateway ./localrun/lambdahost ./localrun/schedule ./shared/wake ./shared/linkfarm ./shared/steam \
	./shared/steam/steamtest ./shared/vpkcache

# The target of `make install`: DESTDIR for building a package, PREFIX otherwise.
DESTDIR ?=
PREFIX  ?= /usr/local
PROGRAMS ?= bin
# A version that Debian can order: from the tag, or from the time of the commit.
COMMITTED   := $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
DEB_VERSION ?= $(or $(shell git describe --tags --match 'v[0-9]*' 2>/dev/null | sed 's/^v//; s/-/+/g'),0~$(shell date -u -d @$(COMMITTED) +%Y%m%d%H%M%S).$(VERSION))
DEB_ARCHS   ?= amd64 arm64
DEB_DIR     ?= bin/deb
# The Debian that `make test-debian` boots.
DEBIAN      ?= bookworm
NFPM        := go tool -modfile=infra/packaging/nfpm.mod nfpm

.PHONY: help run demo build install deb test test-debian race bench starts contract check generate lambda infra deploy clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## serve left4me on this machine, with its data in .left4me/
	@LEFT4ME_ROOT="$${LEFT4ME_ROOT:-$(CURDIR)/.left4me}" bin/localrun up

demo: build ## the same with a fake Steam and links to paste; needs no internet
	@LEFT4ME_ROOT="$(CURDIR)/.left4me/demo" bin/steamd --demo -- bin/localrun up

build: $(HTMX) ## build localrun and all functions into bin/
	@mkdir -p bin/functions
	$(BUILD) -o bin/ ./localrun ./shared/steam/steamtest/steamd ./shared/game/gametest/steamcmd ./shared/game/gametest/srcds
	$(BUILD) -o bin/functions/ ./functions/...

install: ## install the output of `make build` below PREFIX, and the settings in /etc (see README.md)
	@test -x bin/localrun || { echo 'Build it first: make build'; exit 1; }
	install -d $(DESTDIR)/etc/left4me $(addprefix $(DESTDIR)$(PREFIX)/,bin lib/left4me/functions lib/systemd/system lib/sysusers.d \
		lib/tmpfiles.d share/bash-completion/completions share/doc/left4me share/man/man8 \
		share/polkit-1/rules.d)
	install $(PROGRAMS)/localrun $(DESTDIR)$(PREFIX)/lib/left4me/
	install $(PROGRAMS)/functions/* $(DESTDIR)$(PREFIX)/lib/left4me/functions/
	install infra/packaging/localrun $(DESTDIR)$(PREFIX)/bin/
	install -m 644 infra/systemd/*.service infra/systemd/*.timer $(DESTDIR)$(PREFIX)/lib/systemd/system/
	install -m 644 infra/systemd/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/left4me.conf
	install -m 644 infra/systemd/tmpfiles.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/left4me.conf
	install -m 644 infra/systemd/polkit.rules $(DESTDIR)$(PREFIX)/share/polkit-1/rules.d/left4me.rules
	sed -i 's|/usr/lib/left4me|$(PREFIX)/lib/left4me|' $(DESTDIR)$(PREFIX)/bin/localrun $(DESTDIR)$(PREFIX)/lib/systemd/system/left4me-*.service
	test -e $(DESTDIR)/etc/left4me/left4me.env || install -m 600 infra/packaging/left4me.env $(DESTDIR)/etc/left4me/
	install -m 644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/left4me/copyright
	for page in README.md CHANGELOG.md infra/aws/README.md infra/systemd/README.md localrun/metrics/README.md; do \
		install -D -m 644 $$page $(DESTDIR)$(PREFIX)/share/doc/left4me/$$page || exit; \
	done
	umask 022; bin/localrun completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/localrun
	umask 022; SOURCE_DATE_EPOCH=$(COMMITTED) bin/localrun manual $(DESTDIR)$(PREFIX)/share/man/man8

deb: $(HTMX) ## build the Debian packages into bin/deb/
	@mkdir -p $(DEB_DIR)
	@$(BUILD) -o bin/ ./localrun
	@for arch in $(DEB_ARCHS); do \
		programs=$(DEB_DIR)/$$arch; rm -rf $$programs; mkdir -p $$programs/functions; \
		GOARCH=$$arch $(BUILD) -o $$programs/ ./localrun; \
		GOARCH=$$arch $(BUILD) -o $$programs/functions/ ./functions/...; \
		$(MAKE) --no-print-directory install PROGRAMS=$$programs DESTDIR=$$programs/tree PREFIX=/usr > /dev/null; \
		gzip -9n $$programs/tree/usr/share/man/man8/*; \
		ARCH=$$arch ROOT=$$programs/tree VERSION=$(DEB_VERSION) SOURCE_DATE_EPOCH=$(COMMITTED) \
			$(NFPM) package --config infra/packaging/nfpm.yaml --packager deb --target $$programs/left4me.deb; \
		infra/packaging/compress $$programs/left4me.deb $(DEB_DIR)/left4me_$(DEB_VERSION)_$$arch.deb; \
	done

# Go's race detector needs a C compiler. The programs of ./localrun mostly wait for each other.
test: $(HTMX) $(INFRA)/node_modules/.package-lock.json ## run all tests: units, handlers, whole programs, browser
	@race=-race leftout=(); [ "$$(go env CGO_ENABLED)" = 1 -o "$${CI:-}" = true ] || { race= leftout=('the race detector: there is no C compiler'); }; { \
		go test -json $$(go list ./... | grep -vxFf <(go list $(RACE) ./localrun)); \
		go test -json $$race $(RACE); \
		go test -json -parallel 8 -skip TestDebian ./localrun; \
	} | go run ./infra/testreport "$${leftout[@]}"

# The older package is built from a commit before the database's newest migration.
OLDER := 4ab2ab83b01db0d16b9d9e6e2306aca5e969cf35
test-debian: bin/debian/base/usr/lib/polkit-1/polkitd $(HTMX) ## boot a Debian and test the packages there; needs root, debootstrap and systemd-container
	@rm -rf bin/debian/old bin/debian/new bin/debian/older && mkdir -p bin/debian/old bin/debian/new bin/debian/older
	@git cat-file -e $(OLDER) || { echo 'The upgrade starts from commit $(OLDER), which this clone lacks: git fetch --unshallow'; exit 1; }
	@git archive $(OLDER) | tar -x -C bin/debian/older
	$(MAKE) -C bin/debian/older deb DEB_DIR=$(CURDIR)/bin/debian/old DEB_ARCHS=$(shell go env GOARCH) DEB_VERSION=0~0 VERSION=older
	$(MAKE) deb DEB_DIR=bin/debian/new DEB_ARCHS=$(shell go env GOARCH)
	go test -count 1 -v -timeout 30m -run TestDebian ./localrun -debian $(CURDIR)/bin/debian

bin/debian/base/usr/lib/polkit-1/polkitd:
	@rm -rf bin/debian/base && mkdir -p bin/debian
	debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,libpam-systemd,polkitd,lib32gcc-s1,lib32stdc++6,ca-certificates,man-db $(DEBIAN) bin/debian/base

race: ## look for races in packages that use the database; takes some minutes
	go test -race ./localrun/agent ./localrun/heartbeat ./localrun/metrics ./shared/account ./shared/builder ./shared/db/... ./shared/jobstore

bench: $(HTMX) $(INFRA)/node_modules/.package-lock.json ## run the benchmarks and compare them with their limits; needs aria2 and an idle machine
	@{ \
		go test -run '^$$' -bench . -benchtime 1x ./shared/vpkcache ./functions/refresh-workshop-items; \
		go test -run '^$$' -bench . -benchtime 10x ./shared/linkfarm ./shared/vpk; \
		go test -run '^$$' -bench Claims -benchtime 3x ./shared/jobstore; \
		go test -run '^$$' -bench 'AmongFinished|Hosts' ./shared/jobstore; \
		go test -run '^$$' -bench Hosts ./functions/overlay-show; \
		go test -run '^$$' -bench . ./localrun/lambdahost ./localrun/gateway; \
		go test -run '^$$' -bench 'ColdPage|RowToRunning' -benchtime 50x ./localrun; \
		go test -run '^$$' -bench ServerStart -benchtime 10x -timeout 20m ./localrun; \
		go test -run '^$$' -bench 'Idle|Load|ServerChecks' -benchtime 1x -timeout 20m ./localrun; \
	} | tee /dev/stderr | go run ./infra/measures

starts: build ## measure how fast each function starts, on a host and as built for AWS, compared with a minimal function
	@mkdir -p bin/starts
	$(BUILD_NOFILE) -o bin/starts/ ./functions/...
	@echo; echo 'On a host, with a database file:'; go run ./infra/starts bin/functions
	@echo; echo 'Built for AWS, with a libSQL server on this machine:'; go run ./infra/starts -server bin/starts

contract: ## print left4me's promises with the tests that show each
	@go run ./infra/contract

check: generate infra ## check that generated code is current, and that code is formatted, vetted and tidy
	@git diff --exit-code -- '*_templ.go' $(INFRA)/template.json $(INFRA)/router.js $(INFRA)/firewall.json || { echo 'Generated code was out of date: commit the difference above.'; exit 1; }
	@test -z "$$(gofmt -l functions infra localrun shared templates)" || { gofmt -l functions infra localrun shared templates; echo 'Run gofmt on the files above.'; exit 1; }
	go vet ./...
	go mod tidy -diff

generate: ## regenerate the code behind the templates
	go tool templ generate -path templates

lambda: $(HTMX) ## build every function for AWS Lambda into bin/lambda/ and print their sizes
	@rm -rf bin/lambda && mkdir -p bin/lambda/arm64
	$(BUILD_LAMBDA) -o bin/lambda/arm64/ ./functions/...
	@go run ./infra/gen zip bin/lambda/arm64 bin/lambda

infra: ## regenerate the template and the router for AWS, and the description of the API, from the tables
	go run ./infra/gen aws $(INFRA)
	go run ./infra/openapi functions/api/openapi.json

deploy: $(if $(RELEASE),,lambda) ## deploy left4me to AWS: make deploy BUCKET=… (see infra/aws/README.md)
	@BUCKET='$(BUCKET)' STACK='$(STACK)' SECRET='$(SECRET)' PARAMETERS='$(PARAMETERS)' RELEASE='$(RELEASE)' RATE_LIMIT='$(RATE_LIMIT)' ROTATE='$(ROTATE)' $(INFRA)/deploy

clean: ## remove built files, not your data
	rm -rf bin $(HTMX) $(ASSETS)/node_modules $(INFRA)/node_modules

%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	npm ci --prefix $* --no-audit --no-fund --loglevel=error
	@touch $@

$(HTMX): $(ASSETS)/node_modules/.package-lock.json
	@cp $(ASSETS)/node_modules/htmx.org/dist/htmx.min.js $@
