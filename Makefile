# Makefile: builds smart_fhir with PGXS. "make help" lists what there is to do.

# Two extensions, one library and one version number.
EXTENSION = smart_fhir smart_fhir_oauth
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" smart_fhir.control)

MODULE_big = smart_fhir
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c src/*/*/*.c)))
PGFILEDESC = "smart_fhir - SMART on FHIR access control"

# An install script is the numbered parts of its folder, in order.
SQL_PARTS := $(sort $(wildcard sql/[0-9]*.sql))
OAUTH_SQL_PARTS := $(sort $(wildcard sql/oauth/[0-9]*.sql))
DATA_built = smart_fhir--$(EXTVERSION).sql smart_fhir_oauth--$(EXTVERSION).sql
DATA = $(wildcard sql/smart_fhir--*--*.sql sql/oauth/smart_fhir_oauth--*--*.sql)
EXTRA_CLEAN = $(OBJS:.o=.d) $(KEYS_OBJS) $(KEYS_OBJS:.o=.d) $(KEYS) smart_fhir--*.sql smart_fhir_oauth--*.sql results output_iso tmp_check log fuzz/build

PKG_CONFIG ?= pkg-config
PG_CFLAGS = -MMD -MP -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers
PG_CPPFLAGS = -I$(CURDIR)/src -DSMART_FHIR_VERSION='"$(EXTVERSION)"' $(shell $(PKG_CONFIG) --cflags libjwt libcrypto)
# libjwt is opened at run time (src/jose/libjwt.c says why), so it is not linked.
SHLIB_LINK = $(shell $(PKG_CONFIG) --libs libcrypto) -ldl

# The program that fetches keys, beside the server: where libcurl's headers are.
KEYS = programs/smart_fhir_keys/smart_fhir_keys
KEYS_OBJS := $(patsubst %.c,%.o,$(sort $(wildcard programs/smart_fhir_keys/*.c)))
KEYS_BUILT = $(if $(shell $(PKG_CONFIG) --exists libcurl && echo yes),$(if $(wildcard $(includedir)/libpq-fe.h),$(KEYS)))

# pg_regress: test/sql/NAME.sql against expected/NAME.out
REGRESS = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --load-extension=smart_fhir
ISOLATION = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=. --load-extension=smart_fhir

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

ifdef WERROR
override CFLAGS += -Werror
endif

# What each object was made from, as the compiler saw it (-MMD).
-include $(OBJS:.o=.d) $(KEYS_OBJS:.o=.d)

.PHONY: keys install-keys uninstall-keys
all: keys
install: install-keys
uninstall: uninstall-keys
ifneq ($(KEYS_BUILT),)
keys: $(KEYS)
$(KEYS_OBJS): %.o: %.c
	$(CC) $(CFLAGS) -std=gnu11 -D_GNU_SOURCE -DSMART_FHIR_VERSION='"$(EXTVERSION)"' $(shell $(PKG_CONFIG) --cflags libcurl) -I$(includedir) -pthread -c $< -o $@
$(KEYS): $(KEYS_OBJS)
	$(CC) $(CFLAGS) $^ -o $@ $(LDFLAGS) $(LDFLAGS_EX) $(shell $(PKG_CONFIG) --libs libcurl) -L$(libdir) -lpq -pthread
install-keys: keys
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) $(KEYS) '$(DESTDIR)$(bindir)/smart_fhir_keys'
else
keys:
	@echo 'smart_fhir_keys is not built: the headers of libcurl (libcurl4-openssl-dev, libcurl-devel) or libpq (libpq-dev) are missing'
install-keys:
endif
uninstall-keys:
	rm -f '$(DESTDIR)$(bindir)/smart_fhir_keys'

smart_fhir--$(EXTVERSION).sql: $(SQL_PARTS) smart_fhir.control
	cat $(SQL_PARTS) > $@
smart_fhir_oauth--$(EXTVERSION).sql: $(OAUTH_SQL_PARTS) smart_fhir_oauth.control
	cat $(OAUTH_SQL_PARTS) > $@

# TAP tests: needs PostgreSQL::Test::Cluster and IPC::Run. PROVE_TESTS picks files.
PROVE_TESTS ?= $(sort $(wildcard test/t/*.pl))
.PHONY: prove_installcheck
prove_installcheck:
	PG_CONFIG='$(PG_CONFIG)' test/prove.sh $(PROVE_TESTS)

include tools/habits.mk
