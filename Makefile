# Corten: `make` says what can be made.

PREFIX ?= /usr/local

# The machine that is built for; giving it to cargo keeps the flags below away from what runs during the build.
TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
# A program that needs no library of the machine it runs on, nor of the container it enters.
# Relocations are packed: a tenth of the file less.
STATIC := RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs"
CORTEN := $(CURDIR)/target/$(TARGET)/release/corten
CTN := $(CURDIR)/target/$(TARGET)/release/ctn

# The Debian release whose engines are used: this machine's own, or `PEERS=trixie`.
PEERS ?=
ROOT := $(if $(PEERS),$(CURDIR)/.cache/$(PEERS))

COMPILER := gcc libc6-dev
ENGINES := busybox-static catatonit conmon containerd containernetworking-plugins crun docker-registry docker.io docker-cli? \
	golang-github-containers-common iproute2 iptables netavark nftables openssl podman procps runc skopeo tmux uidmap umoci
HOST := busybox-static dbus-daemon e2fsprogs gzip iproute2 libseccomp-dev nftables passt procps strace uidmap

.PHONY: help build companion hello demo test walls lint fuzz integration vm vm-shell aarch64 bench bench-images bench-containers install cc peers

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

build: cc ## the runtime, one static program
	$(STATIC) cargo build --release --no-default-features --bin corten --target $(TARGET)
	@echo $(CORTEN)

companion: cc ## ctn, the companion, one static program
	$(STATIC) cargo build --release --bin ctn --target $(TARGET)
	@echo $(CTN)

hello: companion ## run the image that ctn has built in: it tells what a container sees
	$(CTN) run --rm corten/hello

demo: build ## run a container and show what it sees
	scripts/require busybox-static
	demo/run $(CORTEN)

test: cc ## what needs only this repository and root
	scripts/require $(HOST)
	@status=0; set -x; \
	cargo test --no-fail-fast --lib || status=1; \
	cargo --config 'target.$(TARGET).runner="$(CURDIR)/scripts/unified-host"' test --no-fail-fast \
		--test runtime --test security --test image --test network --test engine || status=1; \
	exit $$status

walls: cc ## take each wall of the runtime out, and see the attack on it succeed
	scripts/require $(HOST)
	scripts/walls

lint: cc ## format, warnings, links of the documentation, where unsafe may be, walls that can be taken out, shell scripts
	scripts/require shellcheck
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo fmt --check --manifest-path integration/cri/client/Cargo.toml
	cargo clippy --all-targets --all-features -- -D warnings
	cargo clippy --test engines --test machine --test containers --all-features -- -D warnings
	RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' cargo doc --quiet --no-deps --document-private-items --all-features
	scripts/unsafe-in-sys
	printf '%s\n' tests/security/walls/*.patch | xargs -n 1 git apply --check
	! cargo tree --no-default-features --edges normal --prefix none | grep -E '^(base64|flate2|indicatif|ipnet|percent-encoding|ring|rustls.*|serde-saphyr|sha2|toml.*|ureq.*|zstd) '
	git grep -lE '^#!(/bin/|/usr/bin/env )(ba)?sh$$' | xargs shellcheck

fuzz: cc ## inputs without number for what reads them; TIME=60 seconds for each of the targets
	scripts/fuzz $(or $(TIME),60)

integration: build peers ## under containerd, docker and podman; PEERS=trixie: under those of Debian 13
	scripts/require $(if $(PEERS),$(HOST),$(ENGINES)) debootstrap protobuf-compiler
	scripts/debian-root bookworm .cache/debian
	scripts/debian-root bookworm .cache/services nginx-light postgresql-15
	cargo build --locked --manifest-path integration/cri/client/Cargo.toml --target-dir target/cri
	CORTEN_TEST_RUNTIME=$(CORTEN) CORTEN_TEST_CRI=$(CURDIR)/target/cri/debug/cri UNIFIED_HOST_ROOT=$(ROOT) \
		cargo test --no-fail-fast --test engines

vm: ## what needs all controllers, systemd, AppArmor or SELinux, in a virtual machine; SUITE=--all: everything
	integration/vm/run $(SUITE)

vm-shell: ## a shell in that machine, with the programs in /payload
	integration/vm/run --shell

aarch64: ## built for that processor, and in an emulated machine with it
	integration/aarch64/run $(SUITE)

bench: build peers ## corten, crun and runc side by side; ROUNDS=50, PEERS as above
	scripts/require $(HOST) $(if $(PEERS),,crun runc)
	cargo bench --profile dev --bench runtimes --no-run
	CORTEN=$(CORTEN) UNIFIED_HOST_ROOT=$(ROOT) \
		cargo --config 'target.$(TARGET).runner="$(CURDIR)/scripts/unified-host"' bench --profile dev --bench runtimes

bench-images: companion ## ctn, podman, skopeo with umoci, and docker side by side; ROUNDS=5, DIRECTORY=, ONLY=
	scripts/require $(ENGINES) debootstrap
	scripts/debian-root bookworm .cache/debian
	cargo bench --profile dev --bench images --no-run
	CTN=$(CTN) \
		cargo --config 'target.$(TARGET).runner="$(CURDIR)/scripts/unified-host"' bench --profile dev --bench images

bench-containers: companion ## ctn, podman with crun, docker and ctr side by side, and networks; ROUNDS=20, LOG=1000, ONLY=
	scripts/require $(ENGINES)
	cargo bench --profile dev --bench containers --no-run
	CTN=$(CTN) \
		cargo --config 'target.$(TARGET).runner="$(CURDIR)/scripts/unified-host"' bench --profile dev --bench containers
	[ -n "$(ONLY)" ] || $(STATIC) cargo --config 'target.$(TARGET).runner="$(CURDIR)/scripts/unified-host"' \
		run --release --example network-cost --target $(TARGET)

install: build companion ## both programs, manual pages, completions and a unit of systemd, below PREFIX=/usr/local
	install -D --mode=755 $(CORTEN) $(DESTDIR)$(PREFIX)/bin/corten
	install -D --mode=755 $(CTN) $(DESTDIR)$(PREFIX)/bin/ctn
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's,@bindir@,$(PREFIX)/bin,' systemd/ctn-restart.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/ctn-restart.service
	cargo run --quiet --example manual -- $(DESTDIR)$(PREFIX)/share

# A linker and the C library's static part.
cc:
	@command -v cc >/dev/null && [ -n "$$(cc -print-file-name=libc.a | grep /)" ] || scripts/require $(COMPILER)

# The engines of another Debian release, in a root file system of their own.
peers:
	@[ -z "$(PEERS)" ] || { scripts/require debootstrap && \
		scripts/debian-root $(PEERS) $(ROOT) $(filter-out %?,$(ENGINES)) docker-cli $(COMPILER); }
