# Builds the programs into build/. `make help` lists the targets; V=1 shows commands;
# SAN=asan builds with AddressSanitizer and UndefinedBehaviorSanitizer into build-asan/,
# CRASH=1 with crash points (common/crash.h) into build-crash/.

CC ?= cc
CFLAGS ?= -O2 -g
SAN ?=
CRASH ?=
BUILD ?= build$(if $(SAN),-$(SAN))$(if $(CRASH),-crash)
PKGS := libuv hiredis libcurl jansson libsodium openssl libidn2
PKG_CONFIG ?= pkg-config

ifeq ($(filter clean help lint zendesk-app app-browser deb deb-check,$(MAKECMDGOALS)),)
  ifneq ($(shell $(PKG_CONFIG) --exists $(PKGS) && echo yes),yes)
    $(error Development packages are missing: ./scripts/test.sh installs them, or see README.md. Wanted: $(PKGS))
  endif
endif

try = $(shell echo 'int main(void){return 0;}' | $(CC) -Werror $(1) -x c -o /dev/null - 2>/dev/null && echo '$(1)')

WARN := -Wall -Wextra -Werror -Wformat=2 -Wconversion -Wsign-conversion -Wshadow -Wvla \
  -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings -Wundef -Wimplicit-fallthrough \
  $(call try,-Wtrampolines)
HARDEN := -fstack-protector-strong $(call try,-fstack-clash-protection) \
  $(call try,-fcf-protection=full) $(call try,-mbranch-protection=standard) \
  $(call try,-ftrivial-auto-var-init=zero) -fno-delete-null-pointer-checks \
  -fno-strict-overflow -fno-strict-aliasing -fPIE
HARDEN_LD := -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed
ifeq ($(SAN),asan)
  HARDEN += -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
  HARDEN_LD += -fsanitize=address,undefined
else ifeq ($(SAN),fuzz)
  HARDEN += -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
    -fno-omit-frame-pointer
  HARDEN_LD += -fsanitize=fuzzer,address,undefined
else ifeq ($(SAN),cov)
  HARDEN += -fprofile-instr-generate -fcoverage-mapping
  HARDEN_LD += -fprofile-instr-generate -fsanitize=fuzzer
else ifeq ($(SAN),)
  HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif

VERSION := $(shell cat VERSION)
# Libraries' headers, wherever they are, are not held to our warnings.
system = $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(1)))
ALL_CFLAGS := -std=c11 -D_GNU_SOURCE -DSTOPGAP_VERSION='"$(VERSION)"' -Icommon $(WARN) \
  $(HARDEN) $(call system,$(PKGS)) $(CFLAGS)
LIBS := $(shell $(PKG_CONFIG) --libs $(PKGS))

COMMON_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard common/*.c)) $(BUILD)/common/queue_lua.o
ifeq ($(CRASH),1)
  ALL_CFLAGS += -DSTOPGAP_CRASH
  COMMON_OBJ += $(BUILD)/tests/crashpoints/crash.o
endif
WORKER_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard worker/*.c))
WEBHOOK_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard webhook/*.c))
CTL_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard ctl/*.c))
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
FUZZ := $(patsubst tests/fuzz/%.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))
PROGRAMS := $(BUILD)/stopgap-worker $(BUILD)/stopgap-webhook $(BUILD)/stopgapctl

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-4s %s\n' '$(1)' '$(2)')

.PHONY: all analyze analyze-gcc analyze-tidy bench clean check storm-webhook demo unit lint fuzz fuzz-smoke fuzz-long fuzz-merge fuzz-coverage fuzz-targets headers help crashpoints storm bench-webhook recovery app-browser zendesk-app man install uninstall deb deb-check failover soak valgrind
all: $(PROGRAMS)

$(BUILD)/%.o: %.c Makefile VERSION
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/common/queue_lua.c: $(wildcard common/lua/*.lua) scripts/embed-lua
	$(call say,LUA,$@)
	$(Q)mkdir -p $(@D)
	$(Q)scripts/embed-lua common/lua > $@.tmp && mv $@.tmp $@

$(BUILD)/common/queue_lua.o: $(BUILD)/common/queue_lua.c Makefile
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libcommon.a: $(COMMON_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/stopgap-worker: $(WORKER_OBJ) $(BUILD)/libcommon.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(HARDEN_LD) $^ $(LIBS) -o $@

$(BUILD)/stopgap-webhook: $(WEBHOOK_OBJ) $(BUILD)/libcommon.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(HARDEN_LD) $^ $(LIBS) -o $@

$(BUILD)/stopgapctl: $(CTL_OBJ) $(BUILD)/libcommon.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(HARDEN_LD) $^ $(LIBS) -o $@

# Unit tests link the common library and every object of the programs but their mains.
UNIT_OBJ := $(filter-out %/main.o,$(WORKER_OBJ) $(WEBHOOK_OBJ) $(CTL_OBJ))
$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libcommon.a $(UNIT_OBJ) Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -Iworker -Iwebhook -Ictl -Itests/unit $(call system,cmocka) -MMD -MP \
	  $(HARDEN_LD) $< $(UNIT_OBJ) $(BUILD)/libcommon.a $(LIBS) \
	  $(shell $(PKG_CONFIG) --libs cmocka) -o $@

unit: $(UNIT)

# Fuzz targets are built by clang, with everything that they link: common/, and what a
# target names beside it in a comment line: " * Links: worker/gitlab_reply webhook/tally".
FUZZ_CC ?= clang
FUZZ_CFLAGS ?= -O1 -gline-tables-only
FUZZ_NAMES := $(patsubst $(BUILD)/fuzz_%,%,$(FUZZ))
FUZZ_PARTS = $(sort $(shell sed -n 's/^ \* Links: \([^*]*\).*/\1/p' tests/fuzz/fuzz_*.c))
FUZZ_MAKE = $(MAKE) --no-print-directory CC=$(FUZZ_CC) CFLAGS='$(FUZZ_CFLAGS)'

fuzz:
	+$(Q)$(FUZZ_MAKE) SAN=fuzz fuzz-targets

ifneq ($(filter fuzz-targets,$(MAKECMDGOALS)),)
fuzz-targets: $(FUZZ)

$(BUILD)/libfuzzed.a: $(COMMON_OBJ) $(patsubst %,$(BUILD)/%.o,$(FUZZ_PARTS))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/fuzz_%: tests/fuzz/fuzz_%.c $(BUILD)/libfuzzed.a Makefile
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -Iworker -Iwebhook -Ictl -MMD -MP $(HARDEN_LD) $< \
	  $(BUILD)/libfuzzed.a $(LIBS) -o $@
endif

# Each on its committed corpus, then on what comes of it, FUZZ_JOBS side by side; what is
# found stays in build-fuzz/. FUZZ_TARGETS="request job": only those.
FUZZ_SECONDS ?= $(if $(filter fuzz-long,$(MAKECMDGOALS)),600,5)
FUZZ_SEED ?= $(if $(filter fuzz-long,$(MAKECMDGOALS)),0,1)
FUZZ_JOBS ?= 2
FUZZ_TARGETS ?= $(FUZZ_NAMES)
fuzz-smoke fuzz-long: fuzz
	$(Q)FUZZ_SEED=$(FUZZ_SEED) FUZZ_JOBS=$(FUZZ_JOBS) scripts/fuzz-run $(FUZZ_SECONDS) $(FUZZ_TARGETS)

# What fuzz-long has found worth keeping goes into tests/fuzz/corpus/.
fuzz-merge: fuzz
	$(Q)scripts/fuzz-merge $(FUZZ_TARGETS)

# How much of each parser the committed corpora reach.
fuzz-coverage:
	+$(Q)$(FUZZ_MAKE) SAN=cov fuzz-targets
	$(Q)scripts/fuzz-coverage build-cov

# The benchmark: apart from the tests, since its figures say nothing on a busy machine.
BENCH_ARGS ?=
BENCH_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/bench/*.c))
$(BUILD)/bench-sink: $(BENCH_OBJ) $(BUILD)/libcommon.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(HARDEN_LD) $^ $(LIBS) -o $@

bench: all $(BUILD)/bench-sink
	$(Q)/usr/bin/python3 tests/bench/bench.py --build $(BUILD) --json $(BUILD)/bench.json $(BENCH_ARGS)

# That of the receiver: a load of signed deliveries, and a server that only answers.
BENCH_WEBHOOK := $(patsubst tests/bench/webhook/%.c,$(BUILD)/bench-webhook-%,$(wildcard tests/bench/webhook/*.c))
$(BUILD)/bench-webhook-%: $(BUILD)/tests/bench/webhook/%.o $(BUILD)/libcommon.a
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(HARDEN_LD) $^ $(LIBS) -o $@

BENCH_WEBHOOK_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/bench/webhook/*.c))
.SECONDARY: $(BENCH_WEBHOOK_OBJ)

bench-webhook: all $(BENCH_WEBHOOK)
	$(Q)/usr/bin/python3 tests/bench/bench_webhook.py --build $(BUILD) --json $(BUILD)/bench-webhook.json $(BENCH_ARGS)

-include $(BENCH_WEBHOOK_OBJ:.o=.d) $(BENCH_OBJ:.o=.d) $(COMMON_OBJ:.o=.d) $(WORKER_OBJ:.o=.d) $(WEBHOOK_OBJ:.o=.d) $(CTL_OBJ:.o=.d) $(UNIT:=.d) $(FUZZ:=.d)

check:
	./scripts/test.sh

demo:
	./scripts/demo.sh

# Each thing that can be wrong with Redis, for a minute; STORM="--copies 5 frozen".
storm-webhook: all
	$(Q)PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 tests/storm/webhook.py $(STORM)

PYTEST := PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m pytest -p no:cacheprovider -q -ra

# The long forms; the short ones are in ./scripts/test.sh.
crashpoints:
	$(Q)$(MAKE) --no-print-directory CRASH=1 all
	$(Q)CRASHPOINTS=full BUILD_DIR=$(CURDIR)/build-crash $(PYTEST) tests/crashpoints

STORM ?= --seed 1 --rounds 100
recovery: all
	$(Q)PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 tests/storm/recovery.py $(RECOVERY)

failover: all
	$(Q)PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 tests/storm/failover.py $(FAILOVER)

storm: all
	$(Q)PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 tests/storm/storm.py $(STORM)

# SOAK="--minutes N --rate R": how long, and requests a second.
SOAK ?=
soak: all
	$(Q)PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 tests/storm/soak.py $(SOAK)

valgrind:
	$(Q)scripts/install-deps test valgrind
	$(Q)$(MAKE) --no-print-directory BUILD=build-valgrind \
	  CFLAGS='-O2 -g -DUNDER_VALGRIND -DLICENSES=20' all unit
	$(Q)scripts/valgrind build-valgrind

# The sidebar app as a zip; RECEIVER=https://HOST: the only host that gets its token.
RECEIVER ?=
zendesk-app:
	$(Q)scripts/check-app
	$(Q)scripts/build-app $(BUILD)/stopgap-zendesk-app.zip $(RECEIVER)

# The app in a real browser, in a page that speaks the SDK's protocol; pictures of each
# state go into build/app-browser/. Needs node, npm and chromium.
app-browser: zendesk-app
	$(Q)tests/app/browser/run $(BUILD)/stopgap-zendesk-app.zip $(BUILD)/app-browser

# Man pages and bash completion: they show what the programs' own help says.
man: $(BUILD)/stopgapctl.bash
$(BUILD)/stopgapctl.bash: $(BUILD)/stopgapctl $(wildcard deploy/man/*) deploy/stopgapctl.bash docs/config.md scripts/make-man
	$(call say,MAN,$(BUILD)/man)
	$(Q)scripts/make-man $(BUILD)

# Under PREFIX, in DESTDIR first; nothing is written to /etc, nothing is started.
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
INSTALL := DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' SYSCONFDIR='$(SYSCONFDIR)' $(if $(UNITDIR),UNITDIR='$(UNITDIR)') scripts/install-files
install: all man
	$(Q)$(INSTALL) install $(BUILD)

uninstall: all man
	$(Q)$(INSTALL) uninstall $(BUILD)

# The Debian package, into build/deb/; deb-check tries it in a fresh root (as root).
deb:
	$(Q)scripts/build-deb build/deb

deb-check: deb
	$(Q)tests/deb/check build/deb

lint:
	$(Q)./scripts/lint

# Each header compiles alone.
headers:
	$(Q)for h in common/*.h worker/*.h webhook/*.h ctl/*.h; do [ -e $$h ] || continue; \
	  $(CC) $(ALL_CFLAGS) -Iworker -Iwebhook -Ictl -fsyntax-only -x c $$h || exit 1; done

# Static analysis: gcc's analyzer, and the checks that .clang-tidy names, a file at a time
# (several make clang-tidy 14 see uninitialized va_lists). scripts/analyze runs both.
SOURCES := $(wildcard common/*.c worker/*.c webhook/*.c ctl/*.c)
analyze:
	$(Q)scripts/analyze

analyze-gcc: $(SOURCES:%.c=$(BUILD)/%.o)

analyze-tidy: $(SOURCES:%.c=$(BUILD)/%.tidy)

$(BUILD)/%.tidy: %.c .clang-tidy Makefile $(wildcard common/*.h worker/*.h webhook/*.h ctl/*.h)
	$(call say,TIDY,$<)
	$(Q)mkdir -p $(@D)
	$(Q)clang-tidy --quiet $< -- -std=c11 -D_GNU_SOURCE -DSTOPGAP_VERSION='""' -Icommon \
	  $(call system,$(PKGS)) >$@.log 2>&1 || { cat $@.log; exit 1; }
	$(Q)mv $@.log $@

clean:
	rm -rf build build-analyze build-asan build-crash build-fuzz build-cov build-valgrind

help:
	@echo 'make [all]      the programs, into build/'
	@echo 'make check      ./scripts/test.sh: everything that CI runs'
	@echo 'make demo       ./scripts/demo.sh: the main job, shown'
	@echo 'make storm-webhook the receiver for a minute in each trouble of Redis (8 min)'
	@echo 'make crashpoints  the programs die at every crash point, and at every pair'
	@echo 'make failover   Sentinel promotes a replica, 60 times: primary killed, or frozen (12 min)'
	@echo 'make storm      100,000 jobs and 1,200 kills in 100 storms; STORM="--seed N --rounds 1": one of them'
	@echo 'make recovery   how long jobs stand still when their worker is killed (5 min)'
	@echo 'make soak       steady load for 10 minutes, and what grows; SOAK="--minutes N --rate R"'
	@echo 'make valgrind   unit tests and programs under valgrind (10 min)'
	@echo 'make unit       unit tests, built only'
	@echo 'make bench      what a job costs; BENCH_ARGS="--help" for how'
	@echo 'make bench-webhook what a delivery costs; BENCH_ARGS as above'
	@echo 'make zendesk-app the sidebar app as a zip; RECEIVER=https://HOST of the receiver'
	@echo 'make app-browser the app in a real browser (needs npm and chromium)'
	@echo 'make lint       checks of form: layers, banned functions, sizes, layout'
	@echo 'make analyze    gcc -fanalyzer, clang-tidy and hardening-check'
	@echo 'make fuzz       fuzz targets, built with clang into build-fuzz/'
	@echo 'make fuzz-smoke each fuzz target for FUZZ_SECONDS (5); fuzz-long: for 10 minutes'
	@echo 'make fuzz-merge what fuzz-long has found worth keeping, into tests/fuzz/corpus/'
	@echo 'make fuzz-coverage how much of each parser the committed corpora reach'
	@echo 'make headers    each header compiles alone'
	@echo 'make install    programs, units, man pages; DESTDIR=, PREFIX=/usr/local; uninstall'
	@echo 'make deb        a Debian package into build/deb/; deb-check tries it in a fresh root'
	@echo 'make clean'
