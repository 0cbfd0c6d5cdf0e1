# Mainstay: one Makefile, no generator.  `make help` lists what it can do.
SHELL        := /bin/bash
.SHELLFLAGS  := -euo pipefail -c
.DEFAULT_GOAL := all
MAKEFLAGS    += --no-builtin-rules
.SECONDARY:

VERSION      := 0.1.0
CC           := gcc
CLANG        := clang
PYTHON       := /usr/bin/python3
PKG_CONFIG   := pkg-config
SAN          ?=
V            ?=
Q            := $(if $(V),,@)
JOBS         ?= $(shell nproc)
SEED         ?= $(shell date +%s)
VECTORS      ?= ../shared/vectors
KEEP         ?=
DESTDIR      ?=
PREFIX       ?= /usr
FUZZ_SECONDS ?= 30
export SEED VECTORS KEEP FUZZ_SECONDS
# An ordinary user's leaves out where Debian puts squid and nginx.
export PATH  := $(PATH):/usr/sbin:/sbin

# Each sanitiser has a build tree of its own, so that switching costs no rebuild.
B            := build$(if $(SAN),/$(SAN))
SANFLAGS.asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined -O1
SANFLAGS.tsan := -fsanitize=thread -O1
SANFLAGS.fuzz := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -O1
SANFLAGS.coverage := --coverage -fprofile-update=atomic -O0

PACKAGES     := libsystemd libcurl openssl jansson libzstd zlib sqlite3 yaml-0.1 libevent libseccomp
CFLAGS       ?= -O2 -g
WARNINGS     := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla -Walloca -Wformat=2 \
                -Wwrite-strings -Wundef -Wpointer-arith -Werror
CPPFLAGS     := -I. -D_GNU_SOURCE -DMAINSTAY_VERSION='"$(VERSION)"' -include appliance/base/banned.h
HARDEN       := -fstack-protector-strong -fPIE $(if $(SAN),,-D_FORTIFY_SOURCE=2)
# Cutting a message at the end of its buffer is meant; where it matters the result is compared.  gcc's warning.
NO_WARNINGS  := $(if $(findstring clang,$(CC)),,-Wno-format-truncation)
ALL_CFLAGS    = -std=gnu17 $(CFLAGS) $(WARNINGS) $(NO_WARNINGS) $(HARDEN) $(SANFLAGS.$(SAN)) $(PKG_CFLAGS)
PKG_CFLAGS   := $(shell $(PKG_CONFIG) --cflags $(PACKAGES) 2>/dev/null)
LDFLAGS      := -pie -Wl,--as-needed -Wl,-z,relro,-z,now -Wl,--gc-sections
LDLIBS       := $(shell $(PKG_CONFIG) --libs $(PACKAGES) 2>/dev/null) -lnanomsg -lm

# mainstay-supervise, which each service's shim is, too, wants nothing of OpenSSL but SHA-256: as a shared library all
# of it is bound at start, half a megabyte for each.
CRYPTO_A     := $(shell $(CC) -print-file-name=libcrypto.a 2>/dev/null)
$(B)/bin/mainstay-supervise $(B)/stripped/mainstay-supervise: LDLIBS := $(if $(findstring /,$(CRYPTO_A)),$(patsubst -lcrypto,$(CRYPTO_A),$(LDLIBS)),$(LDLIBS))

DUTIES       := appliance telemetry remote updater
ROOMS        := $(filter-out %/cmd/,$(sort $(dir $(wildcard $(DUTIES:=/*/*.c)))))
LIB_SRC      := $(sort $(wildcard $(ROOMS:=*.c)))
CMD_SRC      := $(sort $(wildcard $(DUTIES:=/cmd/*.c)))
HEADERS      := $(sort $(wildcard $(DUTIES:=/*/*.h)))
LIB          := $(B)/libmainstay.a
LIB_OBJ      := $(LIB_SRC:%.c=$(B)/%.o)
PROGRAMS     := $(patsubst %.c,$(B)/bin/%,$(notdir $(CMD_SRC)))
UNIT_SRC     := $(sort $(wildcard tests/unit/*/*/*.c))
UNITS        := $(UNIT_SRC:%.c=$(B)/%)
FAKES_OBJ    := $(patsubst %.c,$(B)/%.o,$(sort $(wildcard tests/fakes/*.c)))
BENCH_SRC    := $(sort $(wildcard tests/bench/*.c))
BENCHES      := $(BENCH_SRC:%.c=$(B)/%)
FUZZ_SRC     := $(sort $(wildcard tests/fuzz/*.c))
FUZZERS      := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(FUZZ_SRC))
REPLAYS      := $(patsubst tests/fuzz/%.c,$(B)/tests/fuzz/%,$(FUZZ_SRC))
CONFORMANCE  := $(patsubst tests/conformance/%.c,$(B)/tests/%,$(sort $(wildcard tests/conformance/*.c)))

.PHONY: all
all: $(PROGRAMS)                ## build every program into build/bin

-include $(wildcard $(LIB_OBJ:.o=.d) $(CMD_SRC:%.c=$(B)/%.d) $(UNIT_SRC:%.c=$(B)/%.d) $(B)/tests/*/*.d $(B)/tests/bench/*/*.d $(B)/tests/fuzz/replay/*.d)

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC    $<")
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -ffunction-sections -MMD -MP -c -o $@ $<

$(LIB): $(LIB_OBJ)
	$(Q)rm -f $@.$$$$ && ar rcs $@.$$$$ $^ && mv $@.$$$$ $@

define program
$(B)/bin/$(notdir $(1:.c=)): $(B)/$(1:.c=.o) $(LIB)
	@mkdir -p $$(@D)
	$(if $(V),,@echo "  LD    $$@")
	$(Q)$(CC) $$(LDFLAGS) $(SANFLAGS.$(SAN)) -o $$@ $$< $(LIB) $$(LDLIBS)
endef
$(foreach src,$(CMD_SRC),$(eval $(call program,$(src))))

# --- tests -----------------------------------------------------------------------------------
# The marks before and behind the library tell check-torture whose allocation it is (tests/fault/ours_begin.c).
OURS := $(addprefix $(B)/tests/fault/,ours_begin.o ours_end.o)
$(B)/tests/unit/%: $(B)/tests/unit/%.o $(FAKES_OBJ) $(OURS) $(LIB)
	$(if $(V),,@echo "  LD    $@")
	$(Q)$(CC) $(LDFLAGS) -Wl,--wrap=fault_note,--wrap=log_refusal $(SANFLAGS.$(SAN)) -o $@ $< $(FAKES_OBJ) $(word 1,$(OURS)) \
		$(LIB) $(word 2,$(OURS)) $(LDLIBS) -lcmocka

$(B)/tests/bench/%: $(B)/tests/bench/%.o $(FAKES_OBJ) $(LIB)
	$(if $(V),,@echo "  LD    $@")
	$(Q)$(CC) $(LDFLAGS) $(SANFLAGS.$(SAN)) -o $@ $< $(FAKES_OBJ) $(LIB) $(LDLIBS) -lcmocka

$(B)/tests/fault/audit_log: $(B)/tests/fault/audit_log.o $(B)/tests/fault/trouble.o $(LIB)
	$(Q)$(CC) $(LDFLAGS) $(SANFLAGS.$(SAN)) -o $@ $^ $(LDLIBS)

$(B)/tests/fault/spool: $(B)/tests/fault/spool.o $(B)/tests/fault/trouble.o $(LIB)
	$(Q)$(CC) $(LDFLAGS) $(SANFLAGS.$(SAN)) -o $@ $^ $(LDLIBS)

$(B)/tests/fault/keeps: $(addprefix $(B)/tests/fault/,keeps.o keeps_rooms.o trouble.o) $(LIB)
	$(Q)$(CC) $(LDFLAGS) $(SANFLAGS.$(SAN)) -o $@ $^ $(LDLIBS)

FAULT_DISK := $(addprefix $(B)/tests/fault/,audit_log spool keeps update calls.so)

FAULT_UPDATE := $(addprefix $(B)/tests/fault/,update.o update_check.o update_world.o update_release.o trouble.o)
# What a step owns is let go where it is left half-way (update.c).
$(FAULT_UPDATE): ALL_CFLAGS += -fexceptions
$(B)/tests/fault/update: $(FAULT_UPDATE) $(FAKES_OBJ) $(LIB)
	$(Q)$(CC) $(LDFLAGS) $(SANFLAGS.$(SAN)) -o $@ $^ $(LDLIBS) -lcmocka

$(B)/tests/fault/worker_kill: $(addprefix $(B)/tests/fault/,worker_kill.o update_world.o update_release.o) $(FAKES_OBJ) $(LIB)
	$(Q)$(CC) $(LDFLAGS) $(SANFLAGS.$(SAN)) -o $@ $^ $(LDLIBS) -lcmocka

CALLS := $(addprefix tests/fault/,calls.c calls_name.c calls_byte.c calls_fail.c)
$(B)/tests/fault/calls.so: $(CALLS) tests/fault/calls.h
	@mkdir -p $(@D)
	$(Q)$(CC) -I. -D_GNU_SOURCE -std=gnu17 $(CFLAGS) $(WARNINGS) $(NO_WARNINGS) -fPIC -shared -o $@ $(CALLS)

$(B)/tests/fault/allocations.so: $(wildcard tests/fault/allocations*.c) tests/fault/allocations.h tests/fault/ours.h
	@mkdir -p $(@D)
	$(Q)$(CC) -I. -D_GNU_SOURCE -std=gnu17 $(CFLAGS) $(WARNINGS) $(NO_WARNINGS) -fPIC -shared -o $@ $(filter %.c,$^) -lunwind -lgcc_s

# Without libfuse3-dev it is not built, and the power-cut tests skip.
$(B)/tests/fault/logdisk: tests/fault/logdisk.c
	@mkdir -p $(@D)
	$(Q)! $(PKG_CONFIG) --exists fuse3 || $(CC) $(CPPFLAGS) -std=gnu17 $(CFLAGS) $(WARNINGS) \
		$(shell $(PKG_CONFIG) --cflags fuse3 2>/dev/null) -o $@ $< \
		$(shell $(PKG_CONFIG) --libs fuse3 2>/dev/null)

$(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(B)/tests/fuzz/replay/main.o $(LIB)
	$(Q)$(CC) $(LDFLAGS) $(SANFLAGS.$(SAN)) -o $@ $^ $(LDLIBS)

$(B)/tests/%: $(B)/tests/conformance/%.o $(LIB)
	$(Q)$(CC) $(LDFLAGS) $(SANFLAGS.$(SAN)) -o $@ $^ $(LDLIBS)

# Built with SAN=fuzz CC=clang alone.
$(FUZZERS): build/fuzz/%: $(B)/tests/fuzz/%.o $(LIB)
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LDLIBS)

.PHONY: units conformance replays fuzzers benches
units: $(UNITS)
benches: $(BENCHES)
conformance: $(CONFORMANCE)
replays: $(REPLAYS)
fuzzers: $(FUZZERS)

.PHONY: check-unit
check-unit: units replays benches ## unit tests, fuzz corpora, a slice of the counting benches, under a minute
	$(Q)tests/suite unit fuzz slices

.PHONY: check
check: dependencies             ## every test that fits six minutes: units, corpora, vectors, end to end
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory all units replays benches conformance
	$(Q)tests/suite unit fuzz slices conformance e2e

.PHONY: check-conformance
check-conformance: dependencies ## other implementations as peers, at length: 10,000 bent signatures before ssh-keygen
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory all conformance
	$(Q)SSHSIG_COUNT=$${SSHSIG_COUNT:-10000} tests/suite conformance
	$(Q)grep -E 'SEED=|meant to differ' $(B)/log/conformance.log || true

.PHONY: check-asan check-tsan
check-asan: dependencies        ## units and the main flows under ASan, UBSan and LSan
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory SAN=asan all units replays
	$(Q)SAN=asan tests/suite unit fuzz flows
check-tsan: dependencies        ## units under TSan
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory SAN=tsan units
	$(Q)SAN=tsan tests/suite unit

.PHONY: check-powercut
check-powercut: dependencies    ## CUTS (150; all) crashes, kills and, as root with /dev/fuse and loop devices, power cuts of the audit log, the spool and updates
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory $(B)/bin/mainstay-activate $(FAULT_DISK) $(addprefix $(B)/tests/fault/,worker_kill logdisk)
	$(Q)B=$(B) CUTS=$${CUTS:-150} $(PYTHON) tests/fault/crashes
	$(Q)B=$(B) CUTS=$${CUTS:-150} $(PYTHON) tests/fault/kills
	$(Q)B=$(B) CUTS=$${CUTS:-150} $(PYTHON) tests/fault/powercut

.PHONY: check-hosts
check-hosts: deb                ## as root: the main job on four hosts with systemd, from packages to purge, over ten power cuts (SEED, KEEP=1)
	$(Q)nice -n 5 tests/hosts/next $(B) $(VERSION).1
	$(Q)MAINSTAY_BUILD=$(abspath $(B)) tests/hosts/check

.PHONY: check-systemd
check-systemd: dependencies     ## as root: the driver's tests on a host with systemd; from inside each unit, what it may not
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory all $(B)/tests/unit/appliance/supervise/play
	$(Q)nice -n 5 tests/hosts/root make
	$(Q)MAINSTAY_BUILD=$(abspath $(B)) $(PYTHON) -m pytest -q tests/hosts/test_driver.py tests/hosts/test_units.py

.PHONY: check-flows
check-flows: dependencies       ## FLOWS (60) kills of collector, courier and hub; an outage; damage: what telemetry arrived
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory all
	$(Q)B=$(B) FLOWS=$${FLOWS:-60} $(PYTHON) tests/fault/telemetry

.PHONY: check-requests
check-requests: dependencies    ## FLOWS (60) kills of what takes, carries, runs and answers requests: what ran, was recorded and told
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory all
	$(Q)B=$(B) FLOWS=$${FLOWS:-60} $(PYTHON) tests/fault/requests

.PHONY: check-torture
check-torture: dependencies     ## what allocates and what reaches the disk made to fail, and every process killed: a draw by SEED (ALL=1: all; PARTS="disk full")
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory all units $(FAULT_DISK) $(B)/tests/fault/allocations.so
	$(Q)B=$(B) tests/fault/torture $(PARTS)

.PHONY: bench
bench: dependencies             ## what takes minutes to count or to measure: a million flips, 100,000 replays
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory benches
	$(Q)tests/suite bench

.PHONY: bench-update
bench-update: dependencies      ## updates against patch-from, casync, ostree and rsync on real packages (LARGE=jdk|linux|joint); half an hour the first time
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory all $(B)/tests/bench/update/client
	$(Q)MAINSTAY_BUILD=$(abspath $(B)) tests/bench/update/measure

.PHONY: bench-idle
bench-idle: dependencies        ## what a site of one service costs while nothing happens, beside Debian's node exporter (WARM=60, WINDOW=120 seconds)
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory all
	$(Q)MAINSTAY_BUILD=$(abspath $(B)) tests/bench/idle/measure

.PHONY: bench-telemetry
bench-telemetry: dependencies   ## SIZE (1gb) of log lines to a counting sink, over three kills, beside rsyslog and syslog-ng; the hub's samples beside VictoriaMetrics
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory all $(addprefix $(B)/tests/bench/telemetry/,load courier sink)
	$(Q)MAINSTAY_BUILD=$(abspath $(B)) tests/bench/telemetry/measure
	$(Q)MAINSTAY_BUILD=$(abspath $(B)) tests/bench/telemetry/ingest

.PHONY: bench-remote
bench-remote: dependencies      ## RUNS (60) of an operation that does nothing, beside ssh through a bastion and ansible; memory for SITES (1000) parked mailboxes
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory all
	$(Q)MAINSTAY_BUILD=$(abspath $(B)) tests/bench/remote/measure
	$(Q)MAINSTAY_BUILD=$(abspath $(B)) tests/bench/remote/parked

.PHONY: fuzz
fuzz: dependencies              ## FUZZ_SECONDS of libFuzzer on each parser
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory SAN=fuzz CC=$(CLANG) fuzzers
	$(Q)tests/suite fuzz-live

.PHONY: fuzz-coverage
fuzz-coverage: dependencies     ## the corpora reach 90 % of the lines of each parser (tests/fuzz/parsers)
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory SAN=coverage WARNINGS=-w replays
	$(Q)tests/fuzz/coverage build/coverage

.PHONY: refusals
refusals: dependencies          ## every REFUSE site and the test that reaches it
	$(Q)[ -d $(B)/log/unit ] && [ -d $(B)/log/e2e ] || $(MAKE) --no-print-directory check
	$(Q)tests/refusals

.PHONY: check-mutants
check-mutants: dependencies     ## each refusal of trust and proof switched off in a copy: a test has to fail (ONLY=PATH, SAMPLE=N, E2E=1)
	$(Q)tests/mutants/check

# --- house keeping ---------------------------------------------------------------------------
.PHONY: lint
lint: check-headers             ## layers, headers, layout, clang's warnings
	$(Q)tests/lint/layers $(CLANG) $(LIB_SRC) $(CMD_SRC)
	$(Q)tests/lint/house
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) lint-clang
	@echo "lint: clean"

.PHONY: lint-clang
CLANG_OK     := $(patsubst %.c,build/lint/%.ok,$(LIB_SRC) $(CMD_SRC) $(UNIT_SRC))
lint-clang: $(CLANG_OK)
build/lint/%.ok: %.c $(HEADERS)
	@mkdir -p $(@D)
	$(Q)$(CLANG) -fsyntax-only $(CPPFLAGS) -std=gnu17 $(WARNINGS) $(PKG_CFLAGS) $<
	@touch $@

.PHONY: check-headers
HEADERS_OK   := $(patsubst %.h,build/lint/%.h.ok,$(HEADERS))
check-headers: $(HEADERS_OK)    ## each header compiles alone
build/lint/%.h.ok: %.h
	@mkdir -p $(@D)
	$(Q)$(CC) -fsyntax-only $(CPPFLAGS) -std=gnu17 $(WARNINGS) $(PKG_CFLAGS) -include $< -x c /dev/null
	@touch $@

.PHONY: format
format:                         ## lay the code out with clang-format
	$(Q)clang-format -i $(LIB_SRC) $(CMD_SRC) $(HEADERS) $(UNIT_SRC)

.PHONY: dependencies
dependencies:
	$(Q)packaging/dependencies

.PHONY: demo
demo: dependencies              ## the main job, whole, on loopback, in a scratch folder
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory all
	$(Q)packaging/demo/demo

include packaging/install.mk

.PHONY: clean
clean:                          ## remove build/
	$(Q)rm -rf build

.PHONY: help
help:                           ## this list
	@awk -F':.*## ' '/^[a-z][a-z-]*:.*## / { sub(/ .*/, "", $$1); printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
