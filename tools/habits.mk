# tools/habits.mk: the targets a contributor uses; "make help" prints them.

.PHONY: help app e2e recipes check format lint bench fuzz fuzz-decisions coverage sanitize check-asan valgrind check-valgrind matrix upgrade core-regress soak demo
help:
	@echo 'make                    build the extension'
	@echo 'make install            install it (as root, or with sudo)'
	@echo 'make installcheck       pg_regress and isolation tests against a running server'
	@echo 'make check              everything: set up, build, private cluster, all tests'
	@echo 'make prove_installcheck TAP tests only (PROVE_TESTS=... picks files)'
	@echo 'make app                demo/app.sh: a FHIR server with its authorization server, until Ctrl-C'
	@echo 'make e2e                the demonstration in a real browser, with real clients'
	@echo 'make recipes            the front ends of doc/recipes (Express, Django, Spring, nginx) behind one walk'
	@echo 'make format             clang-format over src/'
	@echo 'make lint               gcc and clang with -Werror, clang-tidy, cppcheck, shellcheck'
	@echo 'make bench              bench/run.sh: ratios against named baselines'
	@echo 'make fuzz               libFuzzer over the pure parsers (SECONDS=60)'
	@echo 'make fuzz-decisions     random decisions against the model (CASES=1000000, SEED)'
	@echo 'make coverage           line coverage of the test run'
	@echo 'make check-asan         everything with AddressSanitizer and UBSan in the server (SUITES picks; also: make sanitize)'
	@echo 'make check-valgrind     pg_regress under valgrind (slow; SUITES picks others; also: make valgrind)'
	@echo 'make matrix             everything in chroots of Debian 13 and sid (as root)'
	@echo 'make upgrade            pg_upgrade from 15 to 17 to 18, and pg_restore -j (as root)'
	@echo 'make core-regress       the regression suite of PostgreSQL, the same with the library preloaded as without'
	@echo 'make soak               many clients, directly and through PgBouncer, every row checked (REQUESTS=20000)'
	@echo 'make demo               demo/run.sh: what each token sees (DEMO=directory of ndjson)'

# PGXS has a target of this name too, which says only that it is not supported
ifneq (,$(filter check,$(MAKECMDGOALS)))
check:
	test/run.sh
endif
app:
	demo/app.sh
e2e:
	test/e2e.sh
recipes:
	test/recipes.sh
format:
	tools/format.sh
lint:
	tools/lint.sh
bench:
	bench/run.sh
fuzz:
	fuzz/run.sh
fuzz-decisions: export CASES ?= 1000000
fuzz-decisions:
	test/prove.sh test/t/080_decisions_property.pl
coverage:
	tools/coverage.sh
sanitize check-asan:
	tools/sanitize.sh
valgrind check-valgrind:
	tools/valgrind.sh
matrix:
	test/matrix.sh
upgrade:
	test/upgrade.sh
core-regress:
	test/core_regress.sh
soak:
	test/soak.sh $(REQUESTS)
demo:
	demo/run.sh $(DEMO)
