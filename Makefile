# Builds the C side without Python: unit tests, the plain C server, fuzzers. The Python package is
# setup.py's.
#
#   make units       every tests/c/<folder>/test_<thing>.c as $(BUILD)/test_<folder>_<thing>
#   make serve       the server driven by a plain C main: $(BUILD)/kevyrt-serve
#   make lib         csrc without csrc/py as $(BUILD)/libkevyrt.a
#   make fuzz        every tests/c/fuzz/fuzz_<thing>.c with libFuzzer (clang), in a BUILD of its own
#   make format lint test clean
#
#   BUILD=build/asan SANITIZE=address,undefined DEBUG=1 CC=clang URING=0 CFLAGS=... LDFLAGS=...
#
# Each setting wants a BUILD folder of its own: a change of flags in one folder rebuilds it.

BUILD ?= build/c
CC ?= cc
SANITIZE ?=
DEBUG ?=
WERROR ?= -Werror

VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)

# ---- Flags ---------------------------------------------------------------------------------------

FLAGS := -std=gnu11 -g -fPIC -fvisibility=hidden -Wall -Wextra $(WERROR) -pthread -Icsrc -Itests/c \
         -DKRT_VERSION='"$(VERSION)"'
LIBS := -pthread -lm
ifneq ($(SANITIZE),)
FLAGS += -O1 -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -DKRT_DEBUG=1
LIBS += -fsanitize=$(SANITIZE)
else ifneq ($(DEBUG),)
FLAGS += -O1 -DKRT_DEBUG=1
else
# As setup.py has it: two members that are filled one by one are not read in one wide load.
FLAGS += -O2 -fno-tree-slp-vectorize
endif

URING ?= $(shell $(CC) -shared -fPIC scripts/probe_uring.c -o /dev/null -Wl,-z,defs -l:liburing.a \
                 >/dev/null 2>&1 && echo 1 || echo 0)
ifeq ($(URING),1)
FLAGS += -DKRT_HAVE_URING=1
LIBS += -l:liburing.a
endif

# ---- Sources -------------------------------------------------------------------------------------

CORE := $(sort $(filter-out csrc/py/%,$(shell find csrc -name '*.c')))
TEST_C := $(sort $(shell test -d tests/c && find tests/c -mindepth 2 -name '*.c' -not -path 'tests/c/fuzz/*'))
UNITS := $(filter $(foreach c,$(TEST_C),$(if $(filter test_%,$(notdir $(c))),$(c))),$(TEST_C))
HELPERS := $(filter-out $(UNITS),$(TEST_C))
FUZZERS := $(sort $(wildcard tests/c/fuzz/fuzz_*.c))

object = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
unit = $(BUILD)/test_$(subst /,_,$(patsubst tests/c/%,%,$(dir $(1))))$(patsubst test_%.c,%,$(notdir $(1)))

# ---- Targets -------------------------------------------------------------------------------------

.PHONY: all lib units serve fuzz format lint test clean
.DELETE_ON_ERROR:
.SECONDARY:

all: lib units serve
lib: $(BUILD)/libkevyrt.a
serve: $(BUILD)/kevyrt-serve
units: $(foreach u,$(UNITS),$(call unit,$(u)))

# The settings of this folder; rewritten only when they change, so that objects can depend on it.
SETTINGS := $(CC) $(FLAGS) $(CFLAGS) $(LIBS) $(LDFLAGS)
$(shell mkdir -p $(BUILD))
ifeq ($(MAKECMDGOALS),fuzz)
# The make that it starts has settings of its own for this folder.
else ifneq ($(file <$(BUILD)/settings),$(SETTINGS))
$(file >$(BUILD)/settings,$(SETTINGS))
endif

$(BUILD)/obj/%.o: %.c $(BUILD)/settings
	@mkdir -p $(@D)
	$(CC) $(FLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# The list of members is a prerequisite, so that an object whose source is gone leaves the archive too.
ifneq ($(file <$(BUILD)/members),$(CORE))
$(file >$(BUILD)/members,$(CORE))
endif

$(BUILD)/libkevyrt.a: $(call object,$(CORE)) $(BUILD)/members
	@rm -f $@
	$(AR) rcs $@ $(filter %.o,$^)

$(BUILD)/kevyrt-serve: $(call object,tests/c/serve.c tests/c/aof/fake_disk.c) $(BUILD)/libkevyrt.a
	$(CC) $(filter %.o,$^) $(BUILD)/libkevyrt.a -o $@ $(LIBS) $(LDFLAGS)

define unit_rule
$(call unit,$(1)): $(call object,$(1)) $(call object,$(HELPERS)) $(BUILD)/libkevyrt.a
	$$(CC) $$(filter %.o,$$^) $(BUILD)/libkevyrt.a -o $$@ -lcmocka $$(LIBS) $$(LDFLAGS)
endef
$(foreach u,$(UNITS),$(eval $(call unit_rule,$(u))))

-include $(patsubst %.o,%.d,$(call object,$(CORE) $(TEST_C) tests/c/serve.c))

# ---- Fuzzing -------------------------------------------------------------------------------------

# Objects with coverage feedback, so in a folder of their own; the driver comes in by the link.
FUZZ_SANITIZE := address,undefined
FUZZ_SETTINGS := BUILD=$(BUILD) CC=clang SANITIZE=fuzzer-no-link,$(FUZZ_SANITIZE)

fuzz:
	+$(MAKE) $(FUZZ_SETTINGS) $(patsubst tests/c/fuzz/%.c,$(BUILD)/%,$(FUZZERS))

$(BUILD)/fuzz_%: $(BUILD)/obj/tests/c/fuzz/fuzz_%.o $(BUILD)/libkevyrt.a
	$(CC) $(filter %.o,$^) $(BUILD)/libkevyrt.a -o $@ $(LIBS) -fsanitize=fuzzer,$(FUZZ_SANITIZE) $(LDFLAGS)

-include $(patsubst %.o,%.d,$(call object,$(FUZZERS)))

# ---- Upkeep --------------------------------------------------------------------------------------

C_FILES := $(shell find csrc tests/c benchmarks scripts -name '*.[ch]' 2>/dev/null)
PY_FILES := $(wildcard setup.py kevyrt tests benchmarks scripts examples)
PYTHON_BIN := $(if $(wildcard .venv/bin/ruff),.venv/bin/,)

format:
	clang-format -i $(C_FILES)
	$(PYTHON_BIN)ruff format $(PY_FILES)
	$(PYTHON_BIN)ruff check --fix-only --quiet $(PY_FILES)

lint:
	clang-format --dry-run --Werror $(C_FILES)
	$(PYTHON_BIN)ruff format --check $(PY_FILES)
	$(PYTHON_BIN)ruff check $(PY_FILES)
	$(PYTHON_BIN)mypy

test:
	./test

clean:
	rm -rf $(BUILD)
